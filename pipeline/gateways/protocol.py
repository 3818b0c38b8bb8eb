"""What a payment provider must offer, and the closed set of answers it may give."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from models.money import Money
from models.states import PaymentStatus


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `key` is the idempotency key; `reference` the provider's object, None only for `open`."""

    checkout_id: UUID
    key: str
    amount: Money
    token: str
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """It is done; the object now stands at `status`."""

    reference: str
    status: PaymentStatus


@dataclass(frozen=True, slots=True)
class Declined:
    """A definite no: nothing moved, and repeating it will not help."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The buyer must act first; `action` is what the storefront needs for that (a redirect, a client secret)."""

    reference: str
    action: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have happened: a time-out, a broken connection, a key in use, a server error."""

    error: str


Answer = Succeeded | Declined | ActionRequired | Unknown

#: `cancel` of money already taken is declined with this code: it takes a refund.
ALREADY_CAPTURED = "already_captured"
#: `authorize` or `capture` on an object that was cancelled is declined with this code.
PAYMENT_CANCELLED = "payment_cancelled"


class Gateway(Protocol):
    """A payment provider. Thread-safe; never raises for what a provider may answer; never blocks past its time-out.

    The same key with the same parameters gives the same answer and one effect, for at least 24 h; while the first call
    with a key is still running, another one with it is `Unknown`.
    """

    name: str

    def open(self, call: Call) -> Answer:
        """Create the payment object for `call.amount`. No money moves. `Succeeded(reference, OPEN)`."""

    def authorize(self, call: Call) -> Answer:
        """Authorise `call.amount` with `call.token`. `Succeeded(.., AUTHORIZED)`, `ActionRequired` or `Declined`.

        After a decline the object stays open: a new key with another token is a new attempt.
        """

    def capture(self, call: Call) -> Answer:
        """Take the authorised amount. `Succeeded(.., CAPTURED)` or `Declined`."""

    def cancel(self, call: Call) -> Answer:
        """End an object that is not captured, releasing any authorisation. `Succeeded(.., CANCELLED)`.

        Cancelling twice succeeds. After it, authorize and capture are declined (PAYMENT_CANCELLED) for ever. Captured
        objects are declined (ALREADY_CAPTURED).
        """

    def refund(self, call: Call) -> Answer:
        """Give the captured amount back. `Succeeded(.., REFUNDED)`, also when it was refunded before."""

    def retrieve(self, call: Call) -> Answer:
        """Look at the object: `Succeeded(.., status)`, `ActionRequired`, `Unknown`, or `Declined` if it is not there.

        Only what it says is there may be relied on: absence now is not absence later.
        """

    def close(self) -> None:
        """Give back connections and threads."""
