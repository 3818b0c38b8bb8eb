"""The contract for what happens to a captured payment after its order was placed: partial refunds and disputes.

A charge is a captured payment with its refunds and disputes, as the provider has them. `Gateway` has one method for
each `ChargeVerb`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from models.money import Money
from pipeline.gateways.gateway import NO_DETAILS, Declined, Details, Misconfigured, Transient, Unknown


class ChargeVerb(StrEnum):
    """The methods of `Gateway` that are about a charge."""

    REFUND_AMOUNT = "refund_amount"
    FIND_REFUND = "find_refund"
    RETRIEVE_CHARGE = "retrieve_charge"


class RefundState(StrEnum):
    """The state of a refund at the provider."""

    PENDING = "pending"  # accepted; the buyer's bank may need days
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the shop has the money again, or it never left


class DisputeState(StrEnum):
    """The state of a dispute at the provider."""

    OPEN = "open"
    WON = "won"  # by the shop
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ChargeCall:
    """One call about a charge. `reference` is the provider's payment object.

    `key` is the idempotency key of a refund, which goes along as its metadata; `find_refund` looks for it. `amount` is
    what is refunded. `retrieve_charge` needs neither: its key is empty. `token` is the payment's.
    """

    checkout_id: UUID
    reference: str
    key: str
    amount: Money
    details: Details = NO_DETAILS
    token: str = ""


@dataclass(frozen=True, slots=True)
class ChargeRefund:
    """One refund of a charge. `operation_id` is the engine's key in its metadata; None if it was made elsewhere."""

    reference: str
    amount: Money
    state: RefundState
    operation_id: str | None
    created_at: datetime
    failure: str = ""


@dataclass(frozen=True, slots=True)
class ChargeDispute:
    """One dispute of a charge. `reason` is the provider's own word for it."""

    reference: str
    amount: Money
    state: DisputeState
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Charge:
    """A captured payment, with all of its refunds and disputes, oldest first."""

    reference: str
    captured: Money
    refunds: tuple[ChargeRefund, ...] = ()
    disputes: tuple[ChargeDispute, ...] = ()


@dataclass(frozen=True, slots=True)
class Refunded:
    """The refund exists, in the state that it has now."""

    refund: ChargeRefund


@dataclass(frozen=True, slots=True)
class RefundAbsent:
    """The provider was asked, and has no refund with this key."""


@dataclass(frozen=True, slots=True)
class CannotTell:
    """This provider has no way to look for a refund by its key. A person must decide."""

    error: str


RefundAnswer = Refunded | Declined | Transient | Unknown | Misconfigured
FindRefundAnswer = Refunded | RefundAbsent | CannotTell | Transient | Unknown | Misconfigured
ChargeRetrieval = Charge | Transient | Unknown | Misconfigured
ChargeAnswer = RefundAnswer | FindRefundAnswer | ChargeRetrieval

#: `refund_amount` of more than is left is declined with this code.
REFUND_EXCEEDS_CHARGE = "refund_exceeds_charge"
#: `refund_amount` of a disputed charge is declined with this code, where the provider refuses it.
CHARGE_DISPUTED = "charge_disputed"
