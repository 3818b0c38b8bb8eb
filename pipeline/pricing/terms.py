"""A quote, and the values that it is computed from: integer minor units, rates as Decimal. No I/O."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.states import PromotionKind
from pipeline.settings import TaxRounding


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promotion that is valid now; the caller has checked that the customer may use it, and how often.

    `percent` is for percentages (0-100), `amount_minor` and `currency` for fixed amounts. Without `skus` and
    `categories` it is for the whole order, else for the lines that match either. `minimum_minor` is the spend it needs,
    in `currency` (or the charge currency when that is None), converted for a cart in another. Lower `priority` comes
    first; one that does not combine is used only alone. `code` is its coupon's, None for an automatic one.
    """

    id: int
    title: str
    kind: PromotionKind
    percent: Decimal | None = None
    amount_minor: int | None = None
    currency: str | None = None
    minimum_minor: int = 0
    skus: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    priority: int = 100
    combines: bool = True
    code: str | None = None


@dataclass(frozen=True, slots=True)
class TaxRate:
    """A rate that applies in the buyer's country and region. `rate` is a fraction: 0.20 is 20 %.

    Rates of different `name` stack (state and county); of one name the most specific applies: region before country,
    category before none. `category` None is for every category that has no rate of its own. `reverse_charge`: not
    charged when the buyer accounts for it.

    `key` is the name in the form in which names are compared (by default the name itself), `closeness` how close to the
    buyer the region is: 0 the country, more for a region, the most for the smallest one.
    """

    name: str
    rate: Decimal
    region: str | None = None
    category: str | None = None
    on_shipping: bool = True
    reverse_charge: bool = False
    key: str = ""
    closeness: int = 0


@dataclass(frozen=True, slots=True)
class LapsedRate:
    """A rate of the buyer's country or region that is not valid now: it has ended, or else has not begun."""

    name: str
    region: str | None
    category: str | None
    on_shipping: bool
    ended: bool


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """One unit of `base` is `rate` units of `quote`."""

    base: str
    quote: str
    rate: Decimal
    source: str
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class GivenDiscount:
    """A discount that the upstream has computed."""

    text: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class GivenTax:
    """A tax that the upstream has computed."""

    name: str
    rate: Decimal
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Goods:
    """One line to be priced. `unit_price_minor` is in the charge currency.

    `discounts` and `taxes` are the upstream's own; None means that the engine's apply.
    """

    line: int
    variant_id: int
    sku: str
    title: str
    category: str | None
    quantity: int
    unit_price_minor: int
    tax_included: bool
    price_source: str
    discounts: tuple[GivenDiscount, ...] | None = None
    taxes: tuple[GivenTax, ...] | None = None


@dataclass(frozen=True, slots=True)
class Shipping:
    """What delivery costs before any promotion. `taxes` are the upstream's own; None means that the engine's apply."""

    title: str
    amount_minor: int
    tax_included: bool
    taxes: tuple[GivenTax, ...] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that decides a quote. `reverse_charged`: the buyer accounts for the taxes that are marked for it."""

    currency: str
    goods: tuple[Goods, ...]
    shipping: Shipping | None = None
    promotions: tuple[Promotion, ...] = ()
    tax_rates: tuple[TaxRate, ...] = ()
    tax_id: str | None = None
    tax_id_validated: dict[str, Any] | None = None
    reverse_charged: bool = False
    tax_rounding: TaxRounding = TaxRounding.LINE
    exchange: ExchangeRate | None = None
    #: Rates to convert a promotion's minimum in another currency: the newest of each, none too old.
    rates: tuple[ExchangeRate, ...] = ()
    shipping_address: dict[str, Any] = field(default_factory=dict)
    billing_address: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AppliedDiscount:
    """A discount on a line or on shipping. `promotion_id` is None for an upstream's own."""

    text: str
    amount_minor: int
    promotion_id: int | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class AppliedTax:
    """A tax on a line or on shipping. `rate` is a decimal text, as it is frozen."""

    name: str
    rate: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """One priced line: subtotal - discount (+ tax, where it is not included) = total."""

    line: int
    variant_id: int
    sku: str
    title: str
    quantity: int
    unit_price_minor: int
    price_source: str
    tax_included: bool
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    discounts: tuple[AppliedDiscount, ...]
    taxes: tuple[AppliedTax, ...]


@dataclass(frozen=True, slots=True)
class QuoteShipping:
    """Priced delivery, by the same equation."""

    title: str
    tax_included: bool
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    discounts: tuple[AppliedDiscount, ...]
    taxes: tuple[AppliedTax, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """Everything that is frozen. Its amounts are exactly the sums of the lines and of shipping."""

    currency: str
    lines: tuple[QuoteLine, ...]
    shipping: QuoteShipping | None
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int
    base_currency: str | None
    exchange_rate: str | None
    exchange_source: str | None
    exchange_at: str | None
    tax_id: str | None
    tax_id_validated: dict[str, Any] | None
    rounding: str
    shipping_address: dict[str, Any]
    billing_address: dict[str, Any] | None


def to_fields(value: object) -> dict[str, Any]:
    """Return the fields of a part of a quote, for the `default` of `json.dumps`; TypeError for anything else.

    Not copied: `dataclasses.asdict` copies deeply, and took half of the time of the price lock.
    """
    fields: dict[str, Any] | None = getattr(type(value), "__dataclass_fields__", None)
    if fields is None:
        raise TypeError(f"{type(value).__name__} is no part of a quote")
    return {name: getattr(value, name) for name in fields}
