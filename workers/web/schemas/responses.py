"""Bodies of HTTP responses: carts, checkouts, quotes, orders."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from models.states import CartState, CheckoutState
from pipeline.carts.cart_input import CartLine, ShippingInput, TaxIdValidation
from workers.web.schemas.examples import CHECKOUT, STATUS, STORED_CART


class View(BaseModel):
    """Base of the responses."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class FailureView(View):
    """Why a checkout unwinds or, while it awaits payment, why the last card was declined."""

    code: str
    phase: str | None = None
    message: str
    detail: dict[str, JsonValue]


class TotalsView(View):
    """The frozen totals, in minor units of the checkout's currency."""

    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int


class OrderView(View):
    """The placed order; its lines are those of the quote."""

    id: UUID
    number: int
    placed_at: datetime


class StatusView(View):
    """The status of a cart and of its newest checkout. Without a checkout, all its fields are null."""

    model_config = ConfigDict(json_schema_extra={"examples": [STATUS]})

    cart_id: UUID
    locked: bool = Field(description="whether an active checkout locks the cart: it cannot be edited")
    can_checkout: bool = Field(description="whether a new checkout of the cart can start")
    can_resume: bool = Field(description="whether the buyer can continue this checkout: pay it, or return to it")
    message: str
    checkout_id: UUID | None = None
    state: CheckoutState | None = None
    state_name: str | None = None
    phases_completed: int | None = Field(default=None, ge=0, description="null while the checkout is undone")
    phases_to_undo: int | None = Field(default=None, ge=0, description="while the checkout is undone: the phases left")
    phase_name: str | None = Field(default=None, description="the newest completed phase, or the next one to undo")
    reference: str | None = None
    currency: str | None = None
    totals: TotalsView | None = None
    quote_hash: str | None = None
    expires_at: datetime | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None
    action: dict[str, JsonValue] | None = Field(default=None, description="what the buyer must do, in action_required")
    payment_attempts: int | None = Field(default=None, description="how many cards the buyer has tried")
    order_number: int | None = None
    failure: FailureView | None = None


class ChargeView(View):
    """A discount or a tax."""

    name: str
    amount_minor: int
    rate: str | None = Field(default=None, description="a fraction as text, of a tax")


class PricedView(View):
    """Frozen amounts: subtotal - discount (+ tax where it is not included) = total."""

    title: str
    tax_included: bool
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    discounts: list[ChargeView]
    taxes: list[ChargeView]


class QuoteLineView(PricedView):
    """A frozen line."""

    line: int
    sku: str
    quantity: int
    unit_price_minor: int


class ExchangeView(View):
    """The frozen rate between the shop's currency and the buyer's."""

    base_currency: str
    rate: str
    source: str | None = None
    observed_at: str | None = None


class QuoteView(View):
    """The frozen prices: what is shown is what is charged."""

    hash: str
    lines: list[QuoteLineView]
    shipping: PricedView | None = None
    exchange: ExchangeView | None = None


class CheckoutView(StatusView):
    """A checkout with its quote and its order, as far as it has them."""

    model_config = ConfigDict(json_schema_extra={"examples": [CHECKOUT]})

    quote: QuoteView | None = None
    order: OrderView | None = None


class StoredLine(CartLine):
    """A stored line: one that was written by SQL may be impossible to sell."""

    sku: str
    currency: str | None = None


class CartView(View):
    """A stored cart. While a checkout locks it, `locked_by` is its owner, and `expires_at` the end of the cart lock.

    A cart that was written by SQL is shown as it was written: its checkout reports the mistakes.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [STORED_CART]})

    id: UUID
    currency: str
    lines: list[StoredLine]
    customer: str | None = None
    coupon_codes: list[str] = Field(default=[])
    tax_id: str | None = None
    tax_id_validated: TaxIdValidation | None = None
    shipping: ShippingInput | None = None
    shipping_address: dict[str, JsonValue] | None = None
    billing_address: dict[str, JsonValue] | None = None
    state: CartState
    locked: bool
    locked_by: str | None = None
    checkout_id: UUID | None = None
    expires_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
