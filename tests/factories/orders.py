"""Orders for the tests of pricing, in one line each."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from models.states import PromotionKind
from pipeline.pricing.terms import ExchangeRate, Goods, Order, Promotion, Shipping, TaxRate


def goods(line: int, price: int, quantity: int = 1, **given: Any) -> Goods:
    """Make a line; its sku is `sku-<line>`."""
    fields = {
        "sku": f"sku-{line}",
        "title": f"The {line}",
        "category": None,
        "tax_included": True,
        "price_source": "list",
    }
    return Goods(line=line, variant_id=line, quantity=quantity, unit_price_minor=price, **fields | given)


def order(*lines: Goods, **given: Any) -> Order:
    """Make an order in euros."""
    return Order(**{"currency": "EUR", "goods": lines} | given)


def shipping(amount: int, **given: Any) -> Shipping:
    """Make delivery with its tax in the price."""
    fields: dict[str, Any] = {"title": "Parcel", "amount_minor": amount, "tax_included": True}
    return Shipping(**fields | given)


def percentage(id_: int, percent: str, **given: Any) -> Promotion:
    """Make a percentage."""
    return Promotion(id_, f"{percent} % off", PromotionKind.PERCENTAGE, percent=Decimal(percent), **given)


def amount_off(id_: int, amount: int, **given: Any) -> Promotion:
    """Make a fixed amount."""
    fields = {"currency": "EUR"} | given
    return Promotion(id_, f"{amount} off", PromotionKind.FIXED_AMOUNT, amount_minor=amount, **fields)


def free_shipping(id_: int, **given: Any) -> Promotion:
    """Make free shipping."""
    return Promotion(id_, "Free delivery", PromotionKind.FREE_SHIPPING, **given)


def vat(rate: str, **given: Any) -> TaxRate:
    """Make a rate named VAT."""
    fields: dict[str, Any] = {"name": "VAT", "rate": Decimal(rate)}
    return TaxRate(**fields | given)


def exchange(base: str, quote: str, rate: str, *, source: str = "ECB", day: int = 23) -> ExchangeRate:
    """Make a rate of a day in November."""
    return ExchangeRate(base, quote, Decimal(rate), source, datetime(2026, 11, day, 15, tzinfo=UTC))
