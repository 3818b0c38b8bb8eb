"""Orders and their changes as owners and operators read them. Amounts are in minor units of the order's currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from models.states import ChangeKind, ChangeState, LinePurpose, OrderState, PaymentStatus, RefundStatus


@dataclass(frozen=True, slots=True)
class AllocationView:
    """Units of a line that were sold at one location, and how many of them came back into its stock."""

    location: str
    sold: int
    restocked: int
    restockable: int


@dataclass(frozen=True, slots=True)
class LineView:
    """A line with its frozen amounts, and what was done with its units.

    `refundable`, `restockable` and `fulfillable` are units that can still be; `refundable_minor` is what the refund of
    all refundable units pays back, without regard to the other lines.
    """

    line: int
    sku: str
    title: str
    quantity: int
    unit_price_minor: int
    tax_included: bool
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    discounts: Sequence[Mapping[str, Any]]
    taxes: Sequence[Mapping[str, Any]]
    refunded: int
    refunded_minor: int
    refundable: int
    refundable_minor: int
    restocked: int
    restockable: int
    fulfilled: int
    fulfillable: int
    allocations: Sequence[AllocationView]


@dataclass(frozen=True, slots=True)
class PaymentView:
    """The payment of an order. `reference` is the provider's object; a token is never shown.

    `refunded_minor` counts refunds that are requested or of unknown outcome too, `disputed_minor` disputes that are
    open or lost.
    """

    gateway: str
    reference: str | None
    status: PaymentStatus
    captured_minor: int
    refunded_minor: int
    disputed_minor: int


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """Units of one line in a change, and what is refunded for them."""

    purpose: LinePurpose
    line: int
    sku: str
    quantity: int
    amount_minor: int
    location: str | None


@dataclass(frozen=True, slots=True)
class RefundView:
    """One refund at the provider. `code` is the provider's reason, where it was declined."""

    n: int
    status: RefundStatus
    amount_minor: int
    reference: str | None
    attempts: int
    code: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One change of an order. `failure` says why it failed, or what a person must settle."""

    id: UUID
    order_id: UUID
    checkout_id: UUID
    kind: ChangeKind
    state: ChangeState
    amount_minor: int | None
    delivery_minor: int
    currency: str
    reason: str
    actor: str
    reference: str | None
    options: Mapping[str, Any]
    outcome: Mapping[str, Any]
    attempts: int
    last_error: str | None
    created_at: datetime
    due_at: datetime | None
    ended_at: datetime | None
    lines: Sequence[ChangedLine] = field(default_factory=tuple)
    refunds: Sequence[RefundView] = field(default_factory=tuple)

    @property
    def is_settled(self) -> bool:
        """Whether it has ended, or waits for a person."""
        return self.state in {ChangeState.DONE, ChangeState.FAILED, ChangeState.NEEDS_REVIEW}


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """One line of a list of orders."""

    id: UUID
    checkout_id: UUID
    owner: str
    number: int
    state: OrderState
    reference: str | None
    customer: str | None
    currency: str
    total_minor: int
    created_at: datetime
    placed_at: datetime
    cancelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class OrderView(OrderEntry):
    """One order with all that belongs to it.

    `refundable_minor` is all that can still be refunded, `delivery_refundable_minor` the part of it that can be for the
    delivery. `can_cancel`: nothing was sent, disputed or cancelled. Nothing of a cancelled order can be changed.
    """

    cart_id: UUID
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    shipping: Mapping[str, Any] | None
    shipping_address: Mapping[str, Any]
    billing_address: Mapping[str, Any] | None
    refundable_minor: int
    delivery_refundable_minor: int
    can_cancel: bool
    payment: PaymentView | None
    lines: Sequence[LineView]
    changes: Sequence[ChangeView]
