"""Variants, their prices and their stock as rows of tables."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from models.money import Money
from pipeline.catalog.reading import LevelView, VariantView

VARIANT_COLUMNS: Final = ("sku", "title", "category", "backorder", "active")
PRICE_COLUMNS: Final = ("sku", "price", "tax", "from", "until", "now")
LEVEL_COLUMNS: Final = ("sku", "location", "on hand", "held", "available")


def describe_variant(variant: VariantView) -> tuple[object, ...]:
    """Return the row of a variant."""
    return (variant.sku, variant.title, variant.category, variant.backorder_policy, "yes" if variant.active else "no")


def list_prices(variant: VariantView) -> Iterator[tuple[object, ...]]:
    """Yield a row for each price that is valid now or later."""
    for each in variant.prices:
        tax = "included" if each.tax_included else "excluded"
        times = (_moment(each.valid_from), _moment(each.valid_until))
        yield (variant.sku, Money(each.amount_minor, each.currency), tax, *times, "yes" if each.is_valid else "no")


def describe_level(level: LevelView) -> tuple[object, ...]:
    """Return the row of the stock at one location."""
    return (level.sku, level.location, level.on_hand, level.held, level.available)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(sep=" ", timespec="seconds")
