"""One valid cart with one line, for tests of code that reads carts."""

from uuid import UUID

from pipeline.carts import Basket
from pipeline.carts.snapshot import Line

ADDRESS = {"name": "Ada", "line1": "1 Road", "city": "London", "country": "GB"}
CUP = Line(
    line=1,
    sku="cup",
    quantity=2,
    title="The cup",
    variant_id=10,
    active=True,
    category=None,
    unit_price_minor=None,
    line_currency=None,
    tax_included=None,
    discounts=None,
    taxes=None,
    list_price_minor=250,
    list_currency="EUR",
    list_tax_included=True,
)
BASKET = Basket(
    cart_id=UUID(int=1),
    currency="EUR",
    shipping_address=dict(ADDRESS),
    billing_address=None,
    customer=None,
    coupon_codes=(),
    tax_id=None,
    tax_id_validated=None,
    shipping_minor=None,
    shipping_title=None,
    shipping_tax_included=None,
    shipping_taxes=None,
    lines=[CUP],
)
