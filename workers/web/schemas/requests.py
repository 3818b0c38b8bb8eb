"""HTTP requests. The caller is never in a body: it is the API key's owner."""

from typing import Self
from uuid import UUID

from pydantic import ConfigDict, model_validator

from pipeline.carts import Cart
from pipeline.carts.cart_input import CartContent, Model
from pipeline.field_types import Reference, Ttl
from pipeline.intake import PaymentInput, ProcessRequest, StartRequest
from pipeline.intake.requests import Expecting
from workers.web.schemas.examples import CART, CART_ID, CHECKOUT_ID


class CartForm(CartContent):
    """A whole cart: it replaces the former content."""

    model_config = ConfigDict(json_schema_extra={"examples": [CART]})


class CheckoutForm(Expecting):
    """Pay a started checkout (`checkout_id`), or a cart at once (`cart_id`, or a whole `cart`).

    `payment` may only be missing for a started checkout whose total is zero.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"checkout_id": CHECKOUT_ID, "payment": {"token": "tok_ok"}, "expected_total_minor": 3900},
                {"cart_id": CART_ID, "payment": {"token": "tok_ok"}},
                {"cart": {"id": CART_ID, **CART}, "payment": {"token": "tok_ok"}, "reference": "4711"},
            ]
        }
    )

    checkout_id: UUID | None = None
    cart_id: UUID | None = None
    cart: Cart | None = None
    payment: PaymentInput | None = None
    ttl_seconds: Ttl | None = None
    reference: Reference | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        carts = {each for each in (self.cart_id, self.cart and self.cart.id) if each is not None}
        if (self.checkout_id is None) == (not carts) or len(carts) > 1:
            raise ValueError("name either a checkout or one cart")
        if self.checkout_id is None and self.payment is None:
            raise ValueError("a cart is paid at once with payment; GET /checkout starts it without")
        return self

    def to_request(self, owner: str, key: str) -> StartRequest | ProcessRequest:
        """Return the request for the intake."""
        given = self.model_dump(exclude_unset=True, exclude={"cart", "payment"})
        given |= {"owner": owner, "idempotency_key": key, "cart": self.cart, "payment": self.payment}
        if self.checkout_id is None:
            return StartRequest.model_validate(given)
        return ProcessRequest.model_validate(given)


class CancelForm(Model):
    """The checkout to cancel, by its id or by its cart's.

    `after_order`: where its payment is being captured, cancel the order that it becomes.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"checkout_id": CHECKOUT_ID}, {"checkout_id": CHECKOUT_ID, "after_order": True}]
        }
    )

    checkout_id: UUID | None = None
    cart_id: UUID | None = None
    after_order: bool = False

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.checkout_id is None) == (self.cart_id is None):
            raise ValueError("name either a checkout or a cart")
        return self
