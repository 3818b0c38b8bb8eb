"""What can be found when our books and the provider's are compared, and which rule settles it. Pure."""

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
    STRAY_OBJECT = "stray_object"
    MISSING_AT_PROVIDER = "missing_at_provider"
    BOOKS_BEHIND = "books_behind"
    STRANGER = "stranger"


#: Statuses in which money is set aside, or may be as soon as the buyer acts.
AUTHORIZING: Final = frozenset({PaymentStatus.ACTION_REQUIRED, PaymentStatus.AUTHORIZED})


class Remedy(StrEnum):
    """The rules that may settle a finding without a person."""

    LOOK = "look"  # look at the checkout's own object, write down what it shows, take back what it holds
    TAKE_BACK = "take_back"  # cancel or refund the object itself: our books do not know it


@dataclass(frozen=True, slots=True)
class Ours:
    """Our side of one checkout. `order` is the total of its placed order, `amount` its frozen total.

    `changed_at` is when the checkout or its payment last changed. What belongs to the payment is None without one;
    `review` is what a person has been asked to settle of it.
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


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference, with both sides: `held` is None when the provider has nothing, `ours` when we know nothing."""

    kind: FindingKind
    checkout_id: UUID
    ours: Ours | None
    held: Held | None

    @property
    def is_note(self) -> bool:
        """Whether it is only to be known: nothing of ours is wrong."""
        return self.kind is FindingKind.STRANGER

    @property
    def reference(self) -> str | None:
        """The object it is about."""
        if self.held is not None:
            return self.held.reference
        return None if self.ours is None else self.ours.reference

    @property
    def due(self) -> Money | None:
        """What the provider should have kept: the order's total."""
        return None if self.ours is None else self.ours.order

    @property
    def kept(self) -> Money | None:
        """What the provider took and has not given back."""
        return None if self.held is None else kept(self.held)

    @property
    def authorized(self) -> Money | None:
        """What the provider has set aside of the buyer's money, or will when the buyer acts."""
        return self.held.amount if self.held is not None and self.held.status in AUTHORIZING else None

    @property
    def remedy(self) -> Remedy | None:
        """The rule that settles it without a person, if there is one."""
        if self.ours is None or self.ours.state is CheckoutState.NEEDS_REVIEW:
            return None
        match self.kind:
            case FindingKind.CHARGED_WITHOUT_ORDER | FindingKind.LIVE_AUTHORIZATION:
                # Once the rule has failed for good, a person is asked, and the rule does not get in their way.
                return Remedy.LOOK if self.ours.state in ENDINGS and self.ours.review is None else None
            case FindingKind.BOOKS_BEHIND:
                return Remedy.LOOK if self.ours.state in ENDINGS else None
            case FindingKind.STRAY_OBJECT:
                return Remedy.TAKE_BACK
            case (
                FindingKind.ORDER_WITHOUT_CHARGE
                | FindingKind.AMOUNT_DIFFERS
                | FindingKind.MISSING_AT_PROVIDER
                | FindingKind.STRANGER
            ):
                return None
            case _:
                assert_never(self.kind)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one comparison found; how many objects the provider listed, and how many payments of ours were looked up."""

    findings: tuple[Finding, ...]
    objects: int
    payments: int

    @property
    def differences(self) -> tuple[Finding, ...]:
        """The findings that are more than notes."""
        return tuple(each for each in self.findings if not each.is_note)


def kept(held: Held) -> Money:
    """Return what the provider took and has not given back."""
    return Money(held.captured_minor - held.refunded_minor, held.amount.currency)
