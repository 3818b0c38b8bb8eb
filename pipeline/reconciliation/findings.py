"""The findings of a comparison of the database with the provider, and the rule that settles each. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never
from uuid import UUID

from models.money import Money
from models.states import ENDINGS, CheckoutState, PaymentStatus
from pipeline.gateways.gateway import Held


class FindingKind(StrEnum):
    """The ways in which the two sides can differ."""

    CHARGED_WITHOUT_ORDER = "charged_without_order"
    ORDER_WITHOUT_CHARGE = "order_without_charge"
    AMOUNT_DIFFERS = "amount_differs"
    LIVE_AUTHORIZATION = "live_authorization"
    ORPHANED_PAYMENT = "orphaned_payment"
    MISSING_AT_PROVIDER = "missing_at_provider"
    REFUND_NOT_RECORDED = "refund_not_recorded"
    REFUND_MISSING = "refund_missing"
    REFUND_DIFFERS = "refund_differs"
    DISPUTE_NOT_RECORDED = "dispute_not_recorded"
    STATUS_DIFFERS = "status_differs"
    UNKNOWN_CHECKOUT = "unknown_checkout"


#: Statuses in which money is authorised, or may be as soon as the buyer acts.
AUTHORIZING: Final = frozenset({PaymentStatus.ACTION_REQUIRED, PaymentStatus.AUTHORIZED})


class Remedy(StrEnum):
    """The rules that may settle a finding without an operator."""

    RETRIEVE = "retrieve"  # retrieve the checkout's own object, record its status, void or refund its money
    VOID_OR_REFUND = "void_or_refund"  # void or refund the object itself: it is not in this database
    READ_CHARGE = "read_charge"  # read the refunds and disputes of the order's payment, and record them


@dataclass(frozen=True, slots=True)
class LocalRecord:
    """The stored state of one checkout. `order` is the total of its order, `amount` its frozen total.

    `changed_at` is when the checkout, its payment or its order last changed. The payment's fields are None without a
    payment; `review` is what an operator must settle about it. `has_changes` tells whether something was refunded or
    disputed after the order, or is to be: `refunded_minor` was refunded, of `unsettled_minor` the outcome is not known.
    """

    checkout_id: UUID
    state: CheckoutState
    changed_at: datetime
    gateway: str | None
    token: str | None
    reference: str | None
    status: PaymentStatus | None
    amount: Money | None
    order: Money | None
    review: str | None = None
    has_changes: bool = False
    refunded_minor: int = 0
    unsettled_minor: int = 0


@dataclass(frozen=True, slots=True)
class ChargeDifference:
    """One refund or dispute that differs: its reference and amount, and both sides in words, None where it is not."""

    reference: str
    amount: Money
    stored: str | None
    shown: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference, with both sides: `held` is None when the provider has nothing, `local` when the database has
    nothing. One about a refund or a dispute of an order has its `difference` instead of `held`.
    """

    kind: FindingKind
    checkout_id: UUID
    local: LocalRecord | None
    held: Held | None
    difference: ChargeDifference | None = None

    @property
    def is_note(self) -> bool:
        """Whether it is only information: nothing in this database is wrong."""
        return self.kind is FindingKind.UNKNOWN_CHECKOUT

    @property
    def reference(self) -> str | None:
        """The object it is about: a payment, a refund or a dispute."""
        if self.difference is not None:
            return self.difference.reference
        if self.held is not None:
            return self.held.reference
        return None if self.local is None else self.local.reference

    @property
    def due(self) -> Money | None:
        """What the provider should have kept: the order's total."""
        return None if self.local is None else self.local.order

    @property
    def kept(self) -> Money | None:
        """What the provider captured and has not refunded."""
        return None if self.held is None else kept(self.held)

    @property
    def authorized(self) -> Money | None:
        """The amount that is authorised at the provider, or will be when the buyer acts."""
        return self.held.amount if self.held is not None and self.held.status in AUTHORIZING else None

    @property
    def remedy(self) -> Remedy | None:
        """The rule that settles the finding without an operator, if there is one."""
        if self.local is None or self.local.state is CheckoutState.NEEDS_REVIEW:
            return None
        match self.kind:
            case FindingKind.CHARGED_WITHOUT_ORDER | FindingKind.LIVE_AUTHORIZATION:
                # Once the rule has failed for good, the payment is in review, and the rule is not applied.
                return Remedy.RETRIEVE if self.local.state in ENDINGS and self.local.review is None else None
            case FindingKind.STATUS_DIFFERS:
                return Remedy.RETRIEVE if self.local.state in ENDINGS else None
            case FindingKind.ORPHANED_PAYMENT:
                return Remedy.VOID_OR_REFUND
            case FindingKind.REFUND_NOT_RECORDED | FindingKind.DISPUTE_NOT_RECORDED:
                return Remedy.READ_CHARGE
            case FindingKind.REFUND_MISSING:
                # One that failed at the provider reopens its change. Of one that is not there nothing is known.
                return None if self.difference is None or self.difference.shown is None else Remedy.READ_CHARGE
            case (
                FindingKind.ORDER_WITHOUT_CHARGE
                | FindingKind.AMOUNT_DIFFERS
                | FindingKind.MISSING_AT_PROVIDER
                | FindingKind.REFUND_DIFFERS
                | FindingKind.UNKNOWN_CHECKOUT
            ):
                return None
            case _:
                assert_never(self.kind)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The findings of one comparison, the number of objects that the provider listed, and of payments compared."""

    findings: tuple[Finding, ...]
    objects: int
    payments: int

    @property
    def differences(self) -> tuple[Finding, ...]:
        """The findings that are more than notes."""
        return tuple(each for each in self.findings if not each.is_note)


def kept(held: Held) -> Money:
    """Return what the provider captured and has not refunded."""
    return Money(held.captured_minor - held.refunded_minor, held.amount.currency)
