"""What a payment provider must offer, and the closed sets of answers it may give.

An adapter implements `Gateway`, is announced under the entry-point group `checkout_engine.gateways`, and proves itself
with `pytest --gateway`. Nothing else of the engine knows a provider.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

from models.money import Money
from models.states import PaymentStatus


class Verb(StrEnum):
    """What is asked of a provider: the methods of `Gateway` that are about one payment."""

    OPEN = "open"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    RETRIEVE = "retrieve"


#: The verbs that carry an idempotency key.
KEYED_VERBS: Final = tuple(verb for verb in Verb if verb is not Verb.RETRIEVE)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where the goods go, from the frozen shipping address; `country` is an ISO 3166 code of two letters.

    `line2`, `city`, `region`, `postal_code` and `phone` are None where the address has none. No text is longer than
    `MAX_DETAIL`.
    """

    name: str
    line1: str
    country: str
    line2: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    phone: str | None = None


#: Longest text of a `Recipient`, in characters.
MAX_DETAIL = 500


@dataclass(frozen=True, slots=True)
class Details:
    """What a provider's desk, fraud rules and disputes need beside the amount. Giving it on is the adapter's choice.

    All of it is frozen, so a repeat of a key carries the same. `open` and `authorize` have the upstream's `reference`,
    `shipping` and `email` (where the buyer wants the receipt), `capture` has `order_id`. The buyer's data is for fields
    that the provider has for it, never for metadata, texts or logs, and so is not shown by `repr`.
    """

    reference: str | None = None
    order_id: UUID | None = None
    shipping: Recipient | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)


NO_DETAILS = Details()


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `key` is the idempotency key; `reference` the provider's object, None only for `open`."""

    checkout_id: UUID
    key: str
    amount: Money
    token: str
    reference: str | None = None
    details: Details = NO_DETAILS


@dataclass(frozen=True, slots=True)
class Succeeded:
    """It is done; the object now stands at `status`.

    `authorized_until`: when the provider lets the authorisation go by itself, if it says so.
    """

    reference: str
    status: PaymentStatus
    authorized_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """A definite no: nothing moved, and repeating it will not help."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The buyer must act first; `action` is what the storefront needs for that, secrets included: the owner's alone.

    `{"type": "redirect", "url": ...}` sends the buyer to the bank's page; `{"type": "client_secret", ...}` is for the
    provider's own library in the browser. `window_seconds` is how long the provider waits, if it says so.
    """

    reference: str
    action: Mapping[str, Any] = field(default_factory=dict)
    window_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Transient:
    """This call did nothing, and a later one may succeed: too many requests, a refused connection."""

    error: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have happened: a time-out, a broken connection, a key in use, a server error, garbage."""

    error: str


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """This call did nothing, and no later one will until an operator acts: a wrong key, a missing permission.

    Also the answer for an object that the provider does not have: it was made with another account's key.
    """

    error: str


Answer = Succeeded | Declined | ActionRequired | Transient | Unknown | Misconfigured

#: `cancel` of money already taken is declined with this code: it takes a refund.
ALREADY_CAPTURED = "already_captured"
#: `authorize` or `capture` on an object that was cancelled is declined with this code.
PAYMENT_CANCELLED = "payment_cancelled"
#: `capture` of an authorisation that the provider has voided is declined with this code.
AUTHORIZATION_EXPIRED = "authorization_expired"


#: `open` of an amount that `chargeable` let through and the provider still does not take is declined with one of these.
#: Another card would not help: the checkout ends, and this is the advice for its buyer.
AMOUNT_REFUSALS: Final[Mapping[str, str]] = {
    "amount_invalid": "the payment provider cannot take it exactly: change the cart, or its currency",
    "amount_too_small": "the payment provider takes more only: add something to the cart",
    "amount_too_large": "the payment provider takes less only: split the cart",
}


@dataclass(frozen=True, slots=True)
class NotChargeable:
    """The provider takes no such amount. `reason` says why and, after a colon, what to do: it ends a sentence."""

    reason: str


Chargeable = Callable[[Money], Money | NotChargeable]


@dataclass(frozen=True, slots=True)
class InboundWebhook:
    """What a verified webhook says: something happened to an object. What, is asked of the provider.

    `reference` and `checkout_id` (from the object's metadata) are None when the event names none; `kind` is the
    provider's own name of it. `relevant` is False for kinds that cannot concern a payment.
    """

    event_id: str
    kind: str
    reference: str | None
    checkout_id: UUID | None
    relevant: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """One object in the provider's own ledger, for the reconciler. `checkout_id` is from its metadata."""

    reference: str
    checkout_id: UUID | None
    status: PaymentStatus
    amount: Money
    captured_minor: int
    refunded_minor: int
    created_at: datetime


class Gateway(Protocol):
    """A payment provider. Thread-safe; never blocks past its time-outs; the verbs never raise for what it may answer.

    The same key with the same parameters gives the same answer and one effect, for at least 24 h; while the first call
    with a key is still running, another one with it is `Unknown`. Capture, cancel and refund move the whole amount, so
    a second one, whatever its key, has no second effect: that makes a new key safe once an old one answers nothing.
    """

    name: str

    @property
    def call_seconds(self) -> float:
        """The longest a verb can take, the adapter's own retries included. A lease must outlast it."""

    def chargeable(self, amount: Money) -> Money | NotChargeable:
        """Return what of an amount can be charged: all of it, or the next lower amount if it has too many decimals.

        Asked before stock is held and for every quote: it makes no call, and never raises. What it returns, `open`
        takes; zero and less is NotChargeable, and no amount above zero becomes zero. Where the least and the largest
        amount of a currency are returned as they are, all others are too, and carts in it are priced only once.
        """

    def open(self, call: Call) -> Answer:
        """Create the payment object for `call.amount`. No money moves. `Succeeded(reference, OPEN)`."""

    def authorize(self, call: Call) -> Answer:
        """Authorise `call.amount` with `call.token`. `Succeeded(.., AUTHORIZED)`, `ActionRequired` or `Declined`.

        After a decline the object stays open: a new key with another token is a new attempt.
        """

    def capture(self, call: Call) -> Answer:
        """Take the authorised amount. `Succeeded(.., CAPTURED)`, also when just that was taken before, or `Declined`.

        An authorisation that has run out is declined (AUTHORIZATION_EXPIRED).
        """

    def cancel(self, call: Call) -> Answer:
        """End an object that is not captured, releasing any authorisation. `Succeeded(.., CANCELLED)`.

        Cancelling twice succeeds. After it, authorize and capture are declined (PAYMENT_CANCELLED) for ever. Captured
        objects are declined (ALREADY_CAPTURED).
        """

    def refund(self, call: Call) -> Answer:
        """Give the captured amount back. `Succeeded(.., REFUNDED)`, also when it was refunded before."""

    def retrieve(self, call: Call) -> Answer:
        """Retrieve the object: `Succeeded(.., status)`, `ActionRequired`, `Unknown`; `Misconfigured` if it is not
        there.

        `Declined` after the buyer has refused, until the next authorisation. A captured object whose refund failed
        stands at CAPTURED, an expired authorisation at CANCELLED. Only what it says is there may be relied on: absence
        now is not absence later.
        """

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> InboundWebhook:
        """Verify a webhook and say what it is about. Header names are in lower case.

        Raises Invalid(WEBHOOK_INVALID) on a wrong or too old signature, or a body that cannot be read.
        """

    def list_held(self, since: datetime) -> Iterator[Held]:
        """Go through every object created since then, in any order.

        Raises Unavailable(GATEWAY_UNAVAILABLE) when the provider does not answer: what came so far is not all there is.
        """

    def close(self) -> None:
        """Give back connections and threads."""


#: The names of all that a gateway has.
MEMBERS: Final = (
    "name",
    "call_seconds",
    "chargeable",
    *Verb,
    "read_webhook",
    "list_held",
    "close",
)
