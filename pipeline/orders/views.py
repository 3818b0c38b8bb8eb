"""What is shown of an order and of its changes, over HTTP, in webhooks, to operators and in commands.

Amounts are in minor units of the order's currency, times in UTC. Nothing secret is in them: no payment token.
"""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from models.states import ChangeKind, ChangeState, LinePurpose, OrderState, RefundStatus


class OrderPart(BaseModel):
    """Base of what is shown."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class ChangeLine(OrderPart):
    """Units of one line in a change. `amount_minor` is what is refunded for them."""

    purpose: LinePurpose
    line: int
    sku: str
    quantity: int
    location: str | None = None
    amount_minor: int = 0


class RefundPart(OrderPart):
    """One refund at the provider. `reference` is the provider's; `code` says why it was declined or returned."""

    amount_minor: int
    status: RefundStatus
    reference: str | None
    code: str | None
    created_at: datetime


class ChangeView(OrderPart):
    """One change of an order, as it was asked for and as it ended."""

    id: UUID
    order_id: UUID
    kind: ChangeKind
    state: ChangeState
    amount_minor: int | None = Field(description="what is paid back, or disputed")
    delivery_minor: int = Field(description="how much of it is for the delivery")
    currency: str
    reason: str
    actor: str
    options: dict[str, JsonValue] = Field(description="facts of the request, such as carrier and tracking")
    outcome: dict[str, JsonValue] = Field(description="facts of its end: `code` and `message` where it failed")
    lines: tuple[ChangeLine, ...]
    refunds: tuple[RefundPart, ...]
    created_at: datetime
    ended_at: datetime | None


class AllocationView(OrderPart):
    """Units of a line that were sold at one location, and how many can be restocked there."""

    location: str
    sold: int
    restocked: int
    restockable: int


class OrderLineView(OrderPart):
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
    discounts: tuple[dict[str, JsonValue], ...]
    taxes: tuple[dict[str, JsonValue], ...]
    refunded: int
    refunded_minor: int
    fulfilled: int
    restocked: int
    refundable: int = Field(description="units that can still be refunded")
    fulfillable: int = Field(description="units still to be sent")
    allocations: tuple[AllocationView, ...]


class PaymentPart(OrderPart):
    """The payment of an order. `reference` is the provider's object."""

    gateway: str
    reference: str | None
    captured_minor: int
    refunded_minor: int = Field(description="requested, in progress, or done")
    disputed_minor: int = Field(description="disputed, or lost by a dispute")
    refundable_minor: int


class OrderSummary(OrderPart):
    """One line of a list of orders."""

    id: UUID
    number: int
    state: OrderState
    checkout_id: UUID
    owner: str
    reference: str | None
    customer: str | None
    currency: str
    total_minor: int
    refunded_minor: int
    placed_at: datetime
    cancelled_at: datetime | None


class OrderView(OrderSummary):
    """One order with its whole life."""

    cart_id: UUID
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    delivery_minor: int = Field(description="the price of the delivery, tax and discounts included")
    delivery_refundable_minor: int
    shipping: dict[str, JsonValue] | None
    shipping_address: dict[str, JsonValue]
    billing_address: dict[str, JsonValue] | None
    payment: PaymentPart | None
    lines: tuple[OrderLineView, ...]
    changes: tuple[ChangeView, ...]


class OrderPage(OrderPart):
    """A page of orders, newest first. `next` begins the next one; null on the last."""

    orders: tuple[OrderSummary, ...]
    next: str | None
