"""What comes in from outside: requests, checked at the door.

`StartRequest` is also the body of a message on `checkout.intake`. Unknown fields are ignored, so that an upstream may
be newer than the engine; everything known is strict.
"""

import hashlib
import json
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from models.identifiers.regions import MAX_REGION
from models.limits import (
    MAX_CHARGES,
    MAX_COUPONS,
    MAX_LINES,
    MAX_PAYMENT,
    MAX_REFERENCE,
)
from pipeline.addresses import normalize_address
from pipeline.card_numbers import has_card_number
from pipeline.errors import Code, Invalid
from pipeline.fields import (
    AddressDraft,
    CouponCode,
    Currency,
    Customer,
    FilledText,
    Minor,
    Reference,
    ShortText,
    Sku,
    TaxId,
    Ttl,
    check_printable,
)
from pipeline.json_bounds import measure


class Model(BaseModel):
    """Base of the requests: immutable, unknown fields ignored. Their errors do not show what was sent."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Address(Model):
    """A postal address. What a label and a tax office need is required, the rest is kept as given.

    `country` is one of ISO 3166-1; `region`, which may stand in `state` or `province` too, the code or name of one of
    ISO 3166-2. It may be left out where the taxes of the country do not depend on it.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: FilledText
    line1: FilledText
    city: FilledText
    country: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    region: Annotated[str, StringConstraints(max_length=MAX_REGION)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _normalized(cls, address: Any) -> Any:
        return normalize_address(address) if isinstance(address, dict) else address


class DiscountInput(Model):
    """A discount that the upstream has computed."""

    text: ShortText
    amount_minor: Minor


class TaxInput(Model):
    """A tax that the upstream has computed; `rate` is a fraction as text: "0.2" is 20 %."""

    name: Reference
    rate: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}(\.[0-9]{1,9})?$")]
    amount_minor: Minor


#: Lists end at their first mistake: nobody reads thousands of them, and each would cost.
Discounts = Annotated[list[DiscountInput], Field(max_length=MAX_CHARGES, fail_fast=True)]
Taxes = Annotated[list[TaxInput], Field(max_length=MAX_CHARGES, fail_fast=True)]


class ShippingInput(Model):
    """What delivery costs. Without `taxes`, ours apply."""

    amount_minor: Minor
    title: ShortText = "Shipping"
    tax_included: StrictBool | None = None
    taxes: Taxes | None = None


class CartLine(Model):
    """A line: a sku, how many, and, if the upstream prices on its own, its unit price in minor units.

    `discounts` and `taxes`, if given, are frozen as they are; without them ours apply. `title` is the catalog's unless
    the sender may name prices too; `tax_included` and `currency` are those of `unit_price_minor`.
    """

    sku: Sku
    quantity: Annotated[int, Field(ge=-(2**31), lt=2**31, strict=True)]
    unit_price_minor: Minor | None = None
    currency: Currency | None = None
    title: ShortText | None = None
    tax_included: StrictBool | None = None
    discounts: Discounts | None = None
    taxes: Taxes | None = None


class TaxIdValidation(Model):
    """Who found the tax id to be its holder's (`VIES`, a certificate, a person), and when."""

    source: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REFERENCE), AfterValidator(check_printable)]
    at: AwareDatetime


class CartContent(Model):
    """What a cart holds."""

    currency: Currency
    lines: Annotated[list[CartLine], Field(max_length=MAX_LINES, fail_fast=True)]
    customer: Customer | None = None
    coupon_codes: Annotated[list[CouponCode], Field(max_length=MAX_COUPONS, fail_fast=True)] = []
    tax_id: TaxId | None = None
    tax_id_validated: TaxIdValidation | None = None
    shipping: ShippingInput | None = None
    shipping_address: AddressDraft | None = None
    billing_address: AddressDraft | None = None

    @model_validator(mode="after")
    def _validated_id(self) -> Self:
        if self.tax_id_validated is not None and self.tax_id is None:
            raise ValueError("tax_id_validated is there without tax_id")
        return self

    @property
    def has_external_amounts(self) -> bool:
        """Whether the upstream decides any amount itself: a price, a discount, a tax, that none is due, delivery."""
        return (
            self.shipping is not None
            or self.tax_id_validated is not None
            or any((line.unit_price_minor, line.discounts, line.taxes) != (None, None, None) for line in self.lines)
        )

    def without_titles(self) -> Self:
        """Return it with the catalog's titles: what goods are called on the order is what was sold."""
        return self.model_copy(update={"lines": [line.model_copy(update={"title": None}) for line in self.lines]})


class Cart(CartContent):
    """A whole cart, for upstreams that keep their carts elsewhere."""

    id: UUID


class PaymentInput(Model):
    """A payment method, as the provider's opaque token.

    A card number anywhere in it, in a field unknown here too, is refused with Invalid(CARD_NUMBER): no ValidationError,
    which would carry it along. Skus, references and keys are not looked at: see pipeline/card_numbers.py.
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


#: The total that was shown for each line, by the line's number as the cart has it (`1`, not `01`).
ExpectedLines = Annotated[
    dict[Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})$")], Minor],
    Field(min_length=1, max_length=MAX_LINES),
]


class Expecting(Model):
    """What the caller expects to pay, as far as it says so; `expected_lines` names every line of the cart, or none."""

    expected_total_minor: Minor | None = None
    expected_hash: Reference | None = None
    expected_lines: ExpectedLines | None = None


class StartRequest(Expecting):
    """Start the checkout of a cart; with `payment`, straight through to the order.

    `cart_id` names a cart that exists; `cart` brings one along (it replaces the lines of an open cart of that id).
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
        """The cart's id, wherever it stands."""
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
    """Return a hash of everything in a request but its key: the same key must always come with the same fingerprint."""
    body: dict[str, Any] = request.model_dump(mode="json", exclude={"idempotency_key"}, exclude_none=True)
    canonical = type(request).__name__ + json.dumps(body, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
