"""Requests from outside, checked on receipt.

`StartRequest` is also the body of a message on `checkout.intake`. Unknown fields are ignored, so that an upstream may
be newer than the engine; everything known is strict.
"""

import hashlib
import json
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from models.limits import (
    MAX_LINES,
    MAX_PAYMENT,
)
from pipeline.carts import Cart
from pipeline.carts.cart_input import Model
from pipeline.errors import Code, Invalid
from pipeline.field_types import Minor, Reference, Ttl, measure
from pipeline.security.card_numbers import has_card_number


class PaymentInput(Model):
    """A payment method, as the provider's opaque token.

    A card number anywhere in it, also in an unknown field, is refused with Invalid(CARD_NUMBER), and not with a
    ValidationError, which would contain it. Skus, references and keys are not checked: see
    pipeline/security/card_numbers.py.
    """

    # An instance may come from `model_copy` or `model_construct`, which check nothing.
    model_config = ConfigDict(revalidate_instances="always")

    token: Reference

    @model_validator(mode="before")
    @classmethod
    def _no_card_number(cls, payment: Any) -> Any:
        measure(payment, MAX_PAYMENT)
        if has_card_number(payment):
            raise Invalid(Code.CARD_NUMBER)
        return payment


def _bounded_lines(value: object) -> object:
    # pydantic reads a dictionary to its end, whatever is wrong with it, and checks its length last.
    if isinstance(value, dict) and len(value) > MAX_LINES:
        raise ValueError(f"it has more than {MAX_LINES} lines")
    return value


def _plain_number(digits: str) -> str:
    if digits != str(int(digits)):
        raise ValueError(f"the line is numbered {int(digits)}, not {digits}")
    return digits


#: The total that was shown for each line, by the line's number in the cart.
LineNumber = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$"), AfterValidator(_plain_number)]
ExpectedLines = Annotated[
    dict[LineNumber, Minor], Field(min_length=1, max_length=MAX_LINES), BeforeValidator(_bounded_lines)
]


class Expecting(Model):
    """What the caller expects to pay, all of it optional; `expected_lines` names every line of the cart, or none."""

    expected_total_minor: Minor | None = None
    expected_hash: Reference | None = None
    expected_lines: ExpectedLines | None = None


class StartRequest(Expecting):
    """Start the checkout of a cart; with `payment`, straight through to the order.

    `cart_id` names a cart that exists; `cart` is a whole one (it replaces the lines of an open cart of that id).
    """

    owner: Reference
    cart_id: UUID | None = None
    cart: Cart | None = None
    idempotency_key: Reference | None = None
    payment: PaymentInput | None = None
    ttl_seconds: Ttl | None = None
    reference: Reference | None = None

    @model_validator(mode="after")
    def _one_cart(self) -> "StartRequest":
        if self.cart_id is None and self.cart is None:
            raise ValueError("cart_id or cart is needed")
        if self.cart_id is not None and self.cart is not None and self.cart_id != self.cart.id:
            raise ValueError("cart_id and cart.id differ")
        return self

    @property
    def wanted_cart_id(self) -> UUID:
        """The cart's id, from either field."""
        found = self.cart.id if self.cart is not None else self.cart_id
        assert found is not None  # noqa: S101 (the validator above)
        return found


class ProcessRequest(Expecting):
    """Pay a started checkout; one whose total is zero is confirmed without a payment."""

    owner: Reference
    checkout_id: UUID
    idempotency_key: Reference
    payment: PaymentInput | None = None


def fingerprint(request: StartRequest | ProcessRequest) -> str:
    """Return a hash of everything in a request except its key; the same key must always have the same fingerprint."""
    body: dict[str, Any] = request.model_dump(mode="json", exclude={"idempotency_key"}, exclude_none=True)
    canonical = type(request).__name__ + json.dumps(body, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def expected_columns(request: StartRequest | ProcessRequest) -> dict[str, Any]:
    """Return what a request expects to be charged, as the columns of its checkout's row."""
    lines = request.expected_lines
    return {
        "expected_total_minor": request.expected_total_minor,
        "expected_hash": request.expected_hash,
        "expected_lines": None if lines is None else json.dumps(lines),
    }
