"""Bodies of HTTP responses about placed orders: a list, one order, one change."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue

from models.states import ChangeKind, ChangeState, LinePurpose, OrderState, PaymentStatus, RefundStatus
from workers.web.schemas.order_examples import CHANGE, CURSOR, ENTRY, ORDER
from workers.web.schemas.responses import FailureView, PricedView, QuoteLineView, TotalsView, View

Units = Annotated[int, Field(ge=0)]


class OrderEntryView(View):
    """One order in a list."""

    id: UUID
    checkout_id: UUID
    number: int
    state: OrderState
    reference: str | None = None
    customer: str | None = None
    currency: str
    total_minor: int
    created_at: datetime
    placed_at: datetime
    cancelled_at: datetime | None = None


class OrderListView(View):
    """A page of orders, newest first; `next_after` is the `after` of the next page, null on the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"orders": [ENTRY], "next_after": CURSOR}]})

    orders: list[OrderEntryView]
    next_after: str | None = None


class AllocationView(View):
    """Units of a line that were sold at one location, and how many of them came back into its stock."""

    location: str
    sold: Units
    restocked: Units
    restockable: Units


class OrderLineView(QuoteLineView):
    """A line with its frozen amounts, what was done with its units, and what can still be.

    `refundable_minor` is what the refund of all refundable units pays back. A refund of some of them pays their share
    of the line's total, so that all parts come to it exactly.
    """

    refunded: Units
    refunded_minor: int
    refundable: Units
    refundable_minor: int
    restocked: Units
    restockable: Units
    fulfilled: Units
    fulfillable: Units
    allocations: list[AllocationView]


class OrderPaymentView(View):
    """The payment at the provider; `reference` is the provider's object.

    `refunded_minor` has refunds that are requested or of unknown outcome too, `disputed_minor` disputes that are open
    or lost.
    """

    gateway: str
    reference: str | None = None
    status: PaymentStatus
    captured_minor: int
    refunded_minor: int
    disputed_minor: int


class ChangedLineView(View):
    """Units of one line in a change, and what is refunded for them."""

    purpose: LinePurpose
    line: int
    sku: str
    quantity: int
    amount_minor: int
    location: str | None = None


class RefundView(View):
    """One refund at the provider, whose `reference` is its own. `code` is why it was declined."""

    n: int
    status: RefundStatus
    amount_minor: int
    reference: str | None = None
    code: str | None = None
    created_at: datetime


class ChangeView(View):
    """A change of an order. `failure` says why it failed, or what a person must settle.

    `actor` asked for it: `key:` and the id of an API key, `operator:` and a name, or `provider`.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [CHANGE]})

    id: UUID
    order_id: UUID
    kind: ChangeKind
    state: ChangeState
    amount_minor: int | None = None
    delivery_minor: int
    currency: str
    reason: str
    actor: str
    reference: str | None = Field(default=None, description="the provider's, of a dispute or of a refund made there")
    restock: bool | None = Field(default=None, description="of a cancel: whether its units are restocked")
    carrier: str | None = None
    tracking: str | None = None
    dispute_state: str | None = None
    failure: FailureView | None = None
    lines: list[ChangedLineView]
    refunds: list[RefundView]
    created_at: datetime
    ended_at: datetime | None = None


class OrderDetailView(OrderEntryView):
    """A placed order: what was bought, what has happened to it, and what can still be done.

    `refundable_minor` is all that can be refunded, `delivery_refundable_minor` the part of it that can be for the
    delivery. Nothing of a cancelled order can be changed.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [ORDER]})

    cart_id: UUID
    totals: TotalsView
    shipping: PricedView | None = None
    shipping_address: dict[str, JsonValue]
    billing_address: dict[str, JsonValue] | None = None
    refundable_minor: int
    delivery_refundable_minor: int
    can_cancel: bool
    payment: OrderPaymentView | None = None
    lines: list[OrderLineView]
    changes: list[ChangeView]


#: States in which orders are shown.
ShownState = Literal["placed", "cancelled"]
