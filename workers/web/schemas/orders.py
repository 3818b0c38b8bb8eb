"""Bodies of the responses about placed orders. Amounts are in minor units of the order's currency."""

from datetime import datetime
from uuid import UUID

from pydantic import Field, JsonValue

from models.states import ChangeKind, ChangeState, LinePurpose, OrderState, PaymentStatus, RefundStatus
from workers.web.schemas.responses import View


class ChangedLineView(View):
    """Units of one line in a change. `amount_minor` is what is refunded for them."""

    purpose: LinePurpose
    line: int
    sku: str
    quantity: int
    amount_minor: int
    location: str | None = None


class PartialRefundView(View):
    """One refund at the provider. `reference` is the provider's, `code` why it was declined or returned."""

    status: RefundStatus
    amount_minor: int
    reference: str | None = None
    code: str | None = None
    created_at: datetime


class OrderChangeView(View):
    """One change of an order, as it was asked for and as it ended."""

    id: UUID
    order_id: UUID
    kind: ChangeKind
    state: ChangeState
    amount_minor: int | None = Field(default=None, description="what is paid back, or disputed")
    delivery_minor: int = Field(description="how much of it is for the delivery")
    currency: str
    reason: str
    actor: str
    options: dict[str, JsonValue] = Field(description="facts of the request, such as carrier and tracking")
    outcome: dict[str, JsonValue] = Field(description="facts of its end: `code` and `message` where it failed")
    lines: list[ChangedLineView]
    refunds: list[PartialRefundView]
    created_at: datetime
    ended_at: datetime | None = None


class LineAllocationView(View):
    """Units of a line that were sold at one location, and how many can be restocked there."""

    location: str
    sold: int
    restocked: int
    restockable: int


class PlacedLineView(View):
    """A frozen line, what has become of its units, and what is left."""

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
    discounts: list[dict[str, JsonValue]]
    taxes: list[dict[str, JsonValue]]
    refunded: int
    refunded_minor: int
    refundable: int = Field(description="units that can still be refunded")
    refundable_minor: int = Field(description="what the refund of all of them pays back")
    restocked: int
    restockable: int
    fulfilled: int
    fulfillable: int = Field(description="units still to be sent")
    allocations: list[LineAllocationView]


class OrderPaymentView(View):
    """The payment of an order. `reference` is the provider's object."""

    gateway: str
    reference: str | None = None
    status: PaymentStatus
    captured_minor: int
    refunded_minor: int = Field(description="requested, in progress, or done")
    disputed_minor: int = Field(description="disputed, or lost by a dispute")


class OrderEntryView(View):
    """One line of a list of orders."""

    id: UUID
    number: int
    state: OrderState
    checkout_id: UUID
    reference: str | None = None
    customer: str | None = None
    currency: str
    total_minor: int
    placed_at: datetime
    cancelled_at: datetime | None = None


class PlacedOrderView(OrderEntryView):
    """One order with its whole life."""

    cart_id: UUID
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    shipping: dict[str, JsonValue] | None = None
    shipping_address: dict[str, JsonValue]
    billing_address: dict[str, JsonValue] | None = None
    refundable_minor: int = Field(description="what can still be refunded")
    delivery_refundable_minor: int = Field(description="how much of it can be for the delivery")
    can_cancel: bool
    payment: OrderPaymentView | None = None
    lines: list[PlacedLineView]
    changes: list[OrderChangeView]


class OrderPageView(View):
    """A page of orders, newest first. `next` begins the next one; null on the last."""

    orders: list[OrderEntryView]
    next: str | None = None
