"""A cart as an upstream sends it, checked on receipt. Unknown fields are ignored; everything known is strict."""

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

from models.identifiers.addresses import normalize_address
from models.identifiers.regions import MAX_REGION
from models.limits import (
    MAX_CHARGES,
    MAX_COUPONS,
    MAX_LINES,
    MAX_REFERENCE,
)
from pipeline.field_types import Minor, Reference
from pipeline.field_types.kinds import (
    AddressDraft,
    CouponCode,
    Currency,
    Customer,
    FilledText,
    ShortText,
    Sku,
    TaxId,
    check_printable,
)


class Model(BaseModel):
    """Base of the requests: immutable, unknown fields ignored. Their errors do not show what was sent."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Address(Model):
    """A postal address. What a label and a tax office need is required, the rest is kept as given.

    `country` is one of ISO 3166-1; `region` (or `state`, or `province`) is the code or name of one of ISO 3166-2. It
    may be left out where the taxes of the country do not depend on it.
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


#: Validation of a list ends at the first mistake: thousands of them are of no use, and each would cost.
Discounts = Annotated[list[DiscountInput], Field(max_length=MAX_CHARGES, fail_fast=True)]
Taxes = Annotated[list[TaxInput], Field(max_length=MAX_CHARGES, fail_fast=True)]


class ShippingInput(Model):
    """What delivery costs. Without `taxes`, the engine's tax rates apply."""

    amount_minor: Minor
    title: ShortText = "Shipping"
    tax_included: StrictBool | None = None
    taxes: Taxes | None = None


class CartLine(Model):
    """A line: a sku, how many, and, if the upstream prices on its own, its unit price in minor units.

    `discounts` and `taxes`, if given, are frozen as they are; without them the engine's apply. `title` is the
    catalog's unless the sender may name prices too; `tax_included` and `currency` are those of `unit_price_minor`.
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
    """What validated the tax id (`VIES`, a certificate, an employee), and when."""

    source: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REFERENCE), AfterValidator(check_printable)]
    at: AwareDatetime


class CartContent(Model):
    """The content of a cart."""

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
