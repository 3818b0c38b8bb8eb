"""Variants, their stock, and what storefronts show of it. Amounts are in minor units."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

#: Variants of one page, and skus of one request.
USUAL_PAGE: Final = 100
MAX_PAGE: Final = 1000
MAX_SKUS: Final = 100

VARIANTS: Final = text("""
    SELECT v.sku, v.title, v.category, v.backorder_policy, v.active FROM variants v
    WHERE (CAST(:skus AS text[]) IS NULL OR v.sku = ANY(CAST(:skus AS text[])))
      AND (CAST(:after AS text) IS NULL OR v.sku > :after)
    ORDER BY v.sku LIMIT :size
""")

# The prices that count now or later, of past ones none: one with an end precedes the base price, which has none.
PRICES: Final = text("""
    SELECT v.sku, p.currency, p.amount_minor, p.tax_included, p.valid_from, p.valid_until,
           p.id = first_value(p.id) OVER (
               PARTITION BY p.variant_id, p.currency
               ORDER BY p.valid_from <= now() DESC, p.valid_until IS NULL, p.valid_from DESC) AND p.valid_from <= now()
           AS is_valid
    FROM variants v JOIN prices p ON p.variant_id = v.id
    WHERE v.sku = ANY(CAST(:skus AS text[])) AND (p.valid_until IS NULL OR p.valid_until > now())
    ORDER BY v.sku, p.currency, p.valid_from
""")

LEVELS: Final = text("""
    SELECT v.sku, l.code AS location, s.on_hand, s.reserved AS held, s.on_hand - s.reserved AS available,
           v.backorder_policy = 'continue' AS backorder
    FROM variants v JOIN stock_levels s ON s.variant_id = v.id JOIN locations l ON l.id = s.location_id
    WHERE v.sku = ANY(CAST(:skus AS text[])) ORDER BY v.sku, l.code
""")

AVAILABILITY: Final = text("""
    SELECT v.sku, v.active, v.backorder_policy = 'continue' AS backorder,
           CAST(coalesce(sum(greatest(s.on_hand - s.reserved, 0)), 0) AS bigint) AS available
    FROM variants v LEFT JOIN stock_levels s ON s.variant_id = v.id
    WHERE v.sku = ANY(CAST(:skus AS text[])) GROUP BY v.id ORDER BY v.sku
""")


@dataclass(frozen=True, slots=True)
class PriceView:
    """A list price that is valid now, or will be. `is_valid`: it is the one that counts now."""

    currency: str
    amount_minor: int
    tax_included: bool
    valid_from: datetime
    valid_until: datetime | None
    is_valid: bool


@dataclass(frozen=True, slots=True)
class LevelView:
    """Units of a variant at a location. `available` may be sold: on hand, less those that checkouts hold."""

    sku: str
    location: str
    on_hand: int
    held: int
    available: int
    backorder: bool


@dataclass(frozen=True, slots=True)
class VariantView:
    """A variant with its prices."""

    sku: str
    title: str
    category: str | None
    backorder_policy: str
    active: bool
    prices: Sequence[PriceView]


@dataclass(frozen=True, slots=True)
class VariantPage:
    """Variants in the order of their skus; `next_after` is the last sku of a page that has a next one."""

    variants: Sequence[VariantView]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a variant can be bought now, and how many units at all locations together are available."""

    sku: str
    sellable: bool
    available: int
    backorder: bool


def list_variants(
    connection: Connection, *, skus: Sequence[str] | None = None, after: str | None = None, limit: int = USUAL_PAGE
) -> VariantPage:
    """Return these variants, or one page of all."""
    size = max(1, min(limit, MAX_PAGE))
    wanted = {"skus": None if skus is None else list(skus), "after": after, "size": size + 1}
    rows = connection.execute(VARIANTS, wanted).all()
    shown = rows[:size]
    prices: dict[str, list[PriceView]] = {}
    for sku, *price in connection.execute(PRICES, {"skus": [row.sku for row in shown]}):
        prices.setdefault(sku, []).append(PriceView(*price))
    variants = tuple(
        VariantView(row.sku, row.title, row.category, row.backorder_policy, row.active, prices.get(row.sku, ()))
        for row in shown
    )
    return VariantPage(variants, shown[-1].sku if len(rows) > size else None)


def read_levels(connection: Connection, skus: Sequence[str]) -> tuple[LevelView, ...]:
    """Return the stock of these variants, by sku and location; nothing of one without stock."""
    return tuple(LevelView(*row) for row in connection.execute(LEVELS, {"skus": list(skus)}))


def read_availability(connection: Connection, skus: Sequence[str]) -> tuple[Availability, ...]:
    """Return what may be sold of these variants now. One that does not exist is not sellable, as an inactive one."""
    known = {row.sku: row for row in connection.execute(AVAILABILITY, {"skus": list(skus)})}
    found = []
    for sku in dict.fromkeys(skus):
        row = known.get(sku)
        if row is None or not row.active:
            found.append(Availability(sku, sellable=False, available=0, backorder=False))
        else:
            found.append(Availability(sku, row.available > 0 or row.backorder, row.available, row.backorder))
    return tuple(found)
