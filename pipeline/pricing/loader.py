"""Read what a quote is computed from: promotions, taxes and rates that are valid now, and each cart's order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, text

from models.identifiers import list_ancestors, normalize_tax_id
from models.identifiers.addresses import find_address_region, normalize_address, normalize_address_country
from models.money import Money
from models.names import PROMOTION_COLUMNS
from models.states import PromotionKind
from pipeline.carts import Basket
from pipeline.carts.cart_input import DiscountInput, TaxInput
from pipeline.carts.snapshot import Line
from pipeline.checkouts import Rejected
from pipeline.errors import Code
from pipeline.errors.objections import explain_first
from pipeline.pricing.exchange import REFERENCE_CURRENCY, convert_price, cross
from pipeline.pricing.taxes.lapses import find_lapsed
from pipeline.pricing.taxes.regions import choose_places, object_to_region
from pipeline.pricing.taxes.tax_ids import is_reverse_charged
from pipeline.pricing.terms import (
    ExchangeRate,
    GivenDiscount,
    GivenTax,
    Goods,
    LapsedRate,
    Order,
    Promotion,
    Shipping,
    TaxRate,
)
from pipeline.settings import Settings

AUTOMATIC: Final = text(f"""
    SELECT {", ".join(PROMOTION_COLUMNS)}, NULL AS code FROM promotions
    WHERE automatic AND active AND starts_at <= now() AND (ends_at IS NULL OR ends_at > now())
""")

RATES: Final = text("""
    SELECT country, region, category, name, name_key, rate, on_shipping, reverse_charge, true AS valid, false AS ended
    FROM tax_rates
    WHERE country = ANY(CAST(:countries AS text[]))
      AND valid_from <= now() AND (valid_until IS NULL OR valid_until > now())
    UNION ALL
    SELECT country, region, category, name, name_key, 0, on_shipping, false, false, bool_or(valid_until <= now())
    FROM tax_rates
    WHERE country = ANY(CAST(:countries AS text[])) AND (valid_from > now() OR valid_until <= now())
    GROUP BY country, region, category, name, name_key, on_shipping
""")


EXCHANGE: Final = text("""
    SELECT DISTINCT ON (base, quote) base, quote, rate, source, observed_at FROM exchange_rates
    WHERE base = ANY(CAST(:currencies AS text[])) AND quote = ANY(CAST(:currencies AS text[])) AND observed_at <= now()
    ORDER BY base, quote, observed_at DESC, id DESC
""")

#: Amounts that an upstream wrote with SQL of its own were not checked by the service: they are checked here.
DISCOUNTS: Final = TypeAdapter(list[DiscountInput])
TAXES: Final = TypeAdapter(list[TaxInput])


@dataclass(frozen=True, slots=True)
class Terms:
    """Promotions and rates that are valid at one moment, for every cart of a batch."""

    automatic: tuple[Promotion, ...]
    tax_rates: Mapping[str, tuple[TaxRate, ...]]
    exchange: tuple[ExchangeRate, ...]
    now: datetime
    #: Rates of each country that are not valid now.
    lapsed_rates: Mapping[str, tuple[LapsedRate, ...]] = field(default_factory=dict)


def load_terms(
    connection: Connection,
    baskets: Sequence[Basket],
    coupons: Iterable[Promotion],
    now: datetime,
    settings: Settings,
) -> Terms:
    """Read what these carts and the promotions of their coupons may need; rates only where there are two currencies."""
    countries = sorted({country for basket in baskets if (country := read_country(basket.shipping_address))})
    automatic = tuple(read_promotion(row, settings.base_currency) for row in connection.execute(AUTOMATIC))
    minimums = {each.currency for each in (*automatic, *coupons) if each.minimum_minor and each.currency is not None}
    used = {basket.currency for basket in baskets} | minimums | set(settings.total_caps) | {settings.base_currency}
    exchange = _read_exchange(connection, sorted(used | {REFERENCE_CURRENCY})) if len(used) > 1 else ()
    rates: dict[str, list[TaxRate]] = {}
    lapsed: dict[str, list[LapsedRate]] = {}
    for row in connection.execute(RATES, {"countries": countries}):
        if row.valid:
            rates.setdefault(row.country, []).append(
                TaxRate(row.name, row.rate, row.region, row.category, row.on_shipping, row.reverse_charge, row.name_key)
            )
        else:
            past = LapsedRate(row.name, row.region, row.category, row.on_shipping, bool(row.ended))
            lapsed.setdefault(row.country, []).append(past)
    return Terms(
        automatic=automatic,
        tax_rates={country: tuple(found) for country, found in rates.items()},
        exchange=exchange,
        now=now,
        lapsed_rates={country: tuple(found) for country, found in lapsed.items()},
    )


def _read_exchange(connection: Connection, currencies: Sequence[str]) -> tuple[ExchangeRate, ...]:
    rows = connection.execute(EXCHANGE, {"currencies": currencies})
    return tuple(ExchangeRate(row.base, row.quote, row.rate, row.source, row.observed_at) for row in rows)


def find_lapsed_rates(basket: Basket, terms: Terms) -> tuple[LapsedRate, ...]:
    """Return the rates by which this cart would have been taxed, and that are not valid now, without a substitute."""
    country = read_country(basket.shipping_address)
    if not (lapsed := terms.lapsed_rates.get(country)):
        return ()
    region = _read_region(basket)
    return find_lapsed(
        terms.tax_rates.get(country, ()),
        lapsed,
        () if region is None else list_ancestors(country, region),
        {line.category for line in basket.lines if line.taxes is None},
        ships=basket.shipping_minor is not None and basket.shipping_taxes is None,
    )


def describe_lapsed(basket: Basket, lapsed: Iterable[LapsedRate]) -> dict[str, str]:
    """Return where rates are missing, and their names: facts of an error, or of an event."""
    country, region = read_country(basket.shipping_address), _read_region(basket)
    place = country if region is None else f"{country} ({region})"
    return {"place": place, "names": ", ".join(sorted({rate.name for rate in lapsed}))}


def read_promotion(row: Row[Any], base_currency: str) -> Promotion:
    """Return the promotion of a row. A minimum without a currency is in the shop's own."""
    given = {name: getattr(row, name) for name in PROMOTION_COLUMNS}
    given["kind"] = PromotionKind(row.kind)
    given["currency"] = row.currency or (base_currency if row.minimum_minor else None)
    given["skus"], given["categories"] = frozenset(row.skus), frozenset(row.categories)
    return Promotion(**given, code=row.code)


def build_order(basket: Basket, terms: Terms, coupons: Sequence[Promotion], settings: Settings) -> Order | Rejected:
    """Return everything that decides this cart's quote, or the objection to it."""
    exchange = None
    goods = []
    if basket.currency != settings.base_currency:
        exchange = cross(settings.base_currency, basket.currency, terms.exchange)
    for line in basket.lines:
        if line.variant_id is None:
            return Rejected(Code.VARIANT_UNKNOWN, {"line": line.line, "sku": line.sku})
        converted = line.needs_conversion(basket.currency)
        if line.price_minor is None or (converted and exchange is None):
            return Rejected(Code.PRICE_MISSING, {"line": line.line, "sku": line.sku, "currency": basket.currency})
        if converted and exchange is not None and (objection := _object_to_age(exchange, terms.now, settings)):
            return objection
        price = convert_price(line.price_minor, exchange) if converted and exchange is not None else line.price_minor
        if price is None:
            shown = str(Money(line.price_minor, str(line.list_currency)))
            facts = {"line": line.line, "sku": line.sku, "price": shown, "currency": basket.currency}
            return Rejected(Code.PRICE_TOO_SMALL, facts)
        try:
            goods.append(_read_goods(line, line.variant_id, price, settings))
        except ValidationError as error:
            return _object_to_form(f"line {line.line}", error)
    try:
        shipping = _read_shipping(basket, settings)
    except ValidationError as error:
        return _object_to_form("shipping", error)
    try:
        address = normalize_address(basket.shipping_address or {})
        billing = None if basket.billing_address is None else normalize_address(basket.billing_address)
        tax_id = None if basket.tax_id is None else normalize_tax_id(basket.tax_id)
    except ValueError as error:
        # The validation of the cart refuses these: only a checkout that an older release started can still have one.
        return Rejected(Code.ADDRESS_MISSING, {"reason": str(error)})
    country = address.get("country") or ""
    rates = terms.tax_rates.get(country, ())
    if _needs_region(goods, shipping) and (objection := object_to_region(address, rates)):
        return objection
    promotions = (*terms.automatic, *coupons)
    return Order(
        currency=basket.currency,
        goods=tuple(goods),
        shipping=shipping,
        promotions=promotions,
        tax_rates=choose_places(address, rates),
        tax_id=tax_id,
        tax_id_validated=basket.tax_id_validated,
        reverse_charged=is_reverse_charged(tax_id, basket.tax_id_validated, country, settings.seller_country),
        tax_rounding=settings.tax_rounding,
        exchange=exchange,
        rates=_find_current(terms, settings) if any(each.minimum_minor for each in promotions) else (),
        shipping_address=address,
        billing_address=billing,
    )


def _needs_region(goods: Sequence[Goods], shipping: Shipping | None) -> bool:
    """Return whether any of the engine's tax rates is needed; an upstream that taxes everything needs no region."""
    return any(each.taxes is None for each in goods) or (shipping is not None and shipping.taxes is None)


def _read_goods(line: Line, variant_id: int, price_minor: int, settings: Settings) -> Goods:
    included = line.list_tax_included if line.unit_price_minor is None else line.tax_included
    return Goods(
        line=line.line,
        variant_id=variant_id,
        sku=line.sku,
        title=line.title or line.sku,
        category=line.category,
        quantity=line.quantity,
        unit_price_minor=price_minor,
        tax_included=settings.prices_include_tax if included is None else included,
        price_source=line.price_source,
        discounts=_read_discounts(line.discounts),
        taxes=_read_taxes(line.taxes),
    )


def _read_shipping(basket: Basket, settings: Settings) -> Shipping | None:
    if basket.shipping_minor is None:
        return None
    included = basket.shipping_tax_included
    return Shipping(
        title=basket.shipping_title or "Shipping",
        amount_minor=basket.shipping_minor,
        tax_included=settings.prices_include_tax if included is None else included,
        taxes=_read_taxes(basket.shipping_taxes),
    )


def _read_discounts(given: list[dict[str, Any]] | None) -> tuple[GivenDiscount, ...] | None:
    if given is None:
        return None
    return tuple(GivenDiscount(each.text, each.amount_minor) for each in DISCOUNTS.validate_python(given))


def _read_taxes(given: list[dict[str, Any]] | None) -> tuple[GivenTax, ...] | None:
    if given is None:
        return None
    return tuple(GivenTax(each.name, Decimal(each.rate), each.amount_minor) for each in TAXES.validate_python(given))


def _object_to_form(where: str, error: ValidationError) -> Rejected:
    return Rejected(Code.EXTERNAL_AMOUNTS, {"where": where, "reason": explain_first(error)})


def _find_current(terms: Terms, settings: Settings) -> tuple[ExchangeRate, ...]:
    return tuple(rate for rate in terms.exchange if _is_current(rate, terms.now, settings))


def _is_current(rate: ExchangeRate, now: datetime, settings: Settings) -> bool:
    return now - rate.observed_at <= timedelta(hours=settings.rate_max_age_hours)


def _object_to_age(rate: ExchangeRate, now: datetime, settings: Settings) -> Rejected | None:
    if _is_current(rate, now, settings):
        return None
    facts = {"base": rate.base, "quote": rate.quote, "observed_at": rate.observed_at.isoformat()}
    return Rejected(Code.EXCHANGE_RATE_STALE, facts)


def _read_region(basket: Basket) -> str | None:
    try:
        return find_address_region(normalize_address(basket.shipping_address or {}))
    except ValueError:
        # The validation of the cart, or `build_order`, reports the mistake.
        return None


def read_country(address: Mapping[str, Any] | None) -> str:
    """Return the country of an address, by which its rates are looked up; '' where it has none."""
    try:
        return normalize_address_country(address or {}) or ""
    except ValueError:
        return ""
