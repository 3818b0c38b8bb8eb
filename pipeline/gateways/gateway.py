"""The protocol of a payment provider, and the closed set of its answers.

An adapter implements `Gateway`, is announced under the entry-point group `checkout_engine.gateways`, and is tested with
`pytest --gateway`. Nothing else in the engine knows a provider.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

from models.money import Money
from models.states import PaymentStatus

if TYPE_CHECKING:
    from pipeline.gateways.charges import ChargeCall, ChargeRetrieval, FindRefundAnswer, RefundAnswer


class Verb(StrEnum):
    """The methods of `Gateway` that are about one payment."""

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
    """The recipient of the goods, from the frozen shipping address; `country` is an ISO 3166 code of two letters.

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
    """What a provider's dashboard, fraud rules and disputes need beside the amount. An adapter may pass it on.

    All of it is frozen, so a repeat of a key has the same. `open` and `authorize` have the upstream's `reference`,
    `shipping` and `email` (where the buyer wants the receipt), `capture` has `order_id`. The buyer's data is for the
    provider's own fields for it, never for metadata, texts or logs, so `repr` does not show it.
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
    """The call is done; the object now has this `status`.

    `authorized_until` is when the provider voids the authorisation by itself, if it returns that.
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
    """The buyer must act first; `action` is what the storefront needs for that, secrets included: only for the owner.

    `{"type": "redirect", "url": ...}` sends the buyer to the bank's page; `{"type": "client_secret", ...}` is for the
    provider's own library in the browser. `window_seconds` is how long the provider waits, if it returns that.
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
    """The call may have had its effect: a time-out, a broken connection, a key in use, a server error, garbage."""

    error: str


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """This call did nothing, and no later one will until an operator acts: a wrong API key, a missing permission.

    Also the answer for an object that the provider does not have: it was made with another account's API key.
    """

    error: str


Answer = Succeeded | Declined | ActionRequired | Transient | Unknown | Misconfigured

#: `cancel` of a captured payment is declined with this code: it needs a refund.
ALREADY_CAPTURED = "already_captured"
#: `authorize` or `capture` on an object that was cancelled is declined with this code.
PAYMENT_CANCELLED = "payment_cancelled"
#: `capture` of an authorisation that the provider has voided is declined with this code.
AUTHORIZATION_EXPIRED = "authorization_expired"


#: `open` of an amount that `chargeable` allows and the provider still refuses is declined with one of these codes.
#: Another card would not help: the checkout ends, and this is the advice for its buyer.
AMOUNT_REFUSALS: Final[Mapping[str, str]] = {
    "amount_invalid": "the payment provider cannot take it exactly: change the cart, or its currency",
    "amount_too_small": "the payment provider takes more only: add something to the cart",
    "amount_too_large": "the payment provider takes less only: split the cart",
}


@dataclass(frozen=True, slots=True)
class NotChargeable:
    """The provider charges no such amount. `reason` is the end of a sentence: why and, after a colon, what to do."""

    reason: str


Chargeable = Callable[[Money], Money | NotChargeable]


@dataclass(frozen=True, slots=True)
class InboundWebhook:
    """A verified webhook: something happened to an object. A retrieval shows what.

    `reference` and `checkout_id` (from the object's metadata) are None when the event names none; `kind` is the
    provider's own name of the event. `relevant` is False for kinds that cannot concern a payment.
    """

    event_id: str
    kind: str
    reference: str | None
    checkout_id: UUID | None
    relevant: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """One object in the provider's ledger, for reconciliation; `disputed_minor` is disputed, or was lost."""

    reference: str
    checkout_id: UUID | None
    status: PaymentStatus
    amount: Money
    captured_minor: int
    refunded_minor: int
    created_at: datetime
    disputed_minor: int = 0


class Gateway(Protocol):
    """A payment provider. Thread-safe; never blocks past its time-outs; its verbs never raise for a provider's answer.

    The same key with the same parameters has the same answer and one effect, for at least 24 h; while the first call
    with a key is still running, another call with it is `Unknown`. Capture, cancel and refund move the whole amount, so
    a second one with any key has no second effect: a new key is safe when an old one gets no answer.
    """

    name: str

    @property
    def call_seconds(self) -> float:
        """The longest time of a verb, with the adapter's own retries. A lease must outlast it."""

    def chargeable(self, amount: Money) -> Money | NotChargeable:
        """Return what of an amount can be charged: all of it, or the next lower amount if it has too many decimals.

        It is called before stock is reserved and for every quote: it makes no call, and never raises. `open` accepts
        what it returns; zero and less is NotChargeable, and no amount above zero becomes zero. If it returns the least
        and the largest amount of a currency unchanged, it does so for all amounts, and carts in it are priced once.
        """

    def open(self, call: Call) -> Answer:
        """Create the payment object for `call.amount`. No money moves. `Succeeded(reference, OPEN)`."""

    def authorize(self, call: Call) -> Answer:
        """Authorise `call.amount` with `call.token`. `Succeeded(.., AUTHORIZED)`, `ActionRequired` or `Declined`.

        After a decline the object stays open: a new key with another token is a new attempt.
        """

    def capture(self, call: Call) -> Answer:
        """Capture the authorised amount. `Succeeded(.., CAPTURED)`, also if exactly that is captured, or `Declined`.

        An authorisation that has expired is declined (AUTHORIZATION_EXPIRED).
        """

    def cancel(self, call: Call) -> Answer:
        """Cancel an object that is not captured, and void its authorisation. `Succeeded(.., CANCELLED)`.

        Cancelling twice succeeds. After it, authorize and capture are declined (PAYMENT_CANCELLED) for ever. Captured
        objects are declined (ALREADY_CAPTURED).
        """

    def refund(self, call: Call) -> Answer:
        """Refund the captured amount. `Succeeded(.., REFUNDED)`, also when it is refunded already."""

    def retrieve(self, call: Call) -> Answer:
        """Retrieve the object: `Succeeded(.., status)`, `ActionRequired` or `Unknown`; `Misconfigured` without one.

        `Declined` after the buyer has refused, until the next authorisation. A captured object whose refund failed has
        the status CAPTURED, an expired authorisation CANCELLED. Only what it shows is reliable: an effect that is not
        there now may come later.
        """

    def refund_amount(self, call: "ChargeCall") -> "RefundAnswer":
        """Refund `call.amount` of a captured object. `Refunded`, or `Declined` (REFUND_EXCEEDS_CHARGE beyond the rest).

        Another key is another refund. The key is in the refund's metadata: `find_refund` and `retrieve_charge` show it.
        """

    def find_refund(self, call: "ChargeCall") -> "FindRefundAnswer":
        """Look for the refund of `call.key`: `Refunded`, `RefundAbsent`, or `CannotTell` without such a look-up.

        It is called when an earlier call with the key can no longer have an effect. `RefundAbsent` is for a provider
        that surely shows every refund of an object that it knows: the engine then refunds with another key.
        """

    def retrieve_charge(self, call: "ChargeCall") -> "ChargeRetrieval":
        """Retrieve the captured object with its refunds and disputes."""

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> InboundWebhook:
        """Verify a webhook and return what it is about. Header names are in lower case.

        Raises Invalid(WEBHOOK_INVALID) on a wrong or too old signature, or a body that cannot be read.
        """

    def list_held(self, since: datetime) -> Iterator[Held]:
        """Yield every object created since then, in any order.

        Raises Unavailable(GATEWAY_UNAVAILABLE) when the provider does not answer: the list is then not complete.
        """

    def close(self) -> None:
        """Close connections and end threads."""


#: The names of all that a gateway has.
MEMBERS: Final = (
    "name",
    "call_seconds",
    "chargeable",
    *Verb,
    *("refund_amount", "find_refund", "retrieve_charge"),
    "read_webhook",
    "list_held",
    "close",
)
