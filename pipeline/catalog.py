"""What can be sold and for how much: set by the thousand, one round trip per statement.

Every function takes all its rows at once and works inside the caller's transaction. Stock is beside it, in
`pipeline/stock.py`; set it last, so that its row locks are held for the shortest time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from pipeline.skus import find_variants, index_rows
from pipeline.stock import Shortfall, StockChange, StockReserved, StockRow, set_stock

__all__ = [
    "PriceRow",
    "Shortfall",
    "StockChange",
    "StockReserved",
    "StockRow",
    "VariantRow",
    "set_prices",
    "set_stock",
    "upsert_variants",
]

UPSERT_VARIANTS: Final = text("""
    INSERT INTO variants (sku, title, category, backorder_policy, active)
    SELECT * FROM unnest(CAST(:skus AS text[]), CAST(:titles AS text[]), CAST(:categories AS text[]),
                         CAST(:policies AS text[]), CAST(:actives AS boolean[]))
    ON CONFLICT (sku) DO UPDATE SET title = excluded.title, category = excluded.category,
        backorder_policy = excluded.backorder_policy, active = excluded.active
    WHERE (variants.title, variants.category, variants.backorder_policy, variants.active)
        IS DISTINCT FROM (excluded.title, excluded.category, excluded.backorder_policy, excluded.active)
""")

SET_PRICES: Final = text("""
    WITH given AS (
        SELECT variant_id, CAST(currency AS char(3)) AS currency, amount_minor
        FROM unnest(CAST(:ids AS bigint[]), CAST(:currencies AS text[]), CAST(:amounts AS bigint[]))
            AS g (variant_id, currency, amount_minor)
    ), changed AS (
        SELECT * FROM given WHERE amount_minor IS DISTINCT FROM (
            SELECT p.amount_minor FROM prices p
            WHERE p.variant_id = given.variant_id AND p.currency = given.currency
              AND p.valid_from <= now() AND (p.valid_until IS NULL OR p.valid_until > now())
            ORDER BY p.valid_from DESC LIMIT 1)
    ), closed AS (
        UPDATE prices p SET valid_until = now() FROM changed
        WHERE p.variant_id = changed.variant_id AND p.currency = changed.currency
          AND p.valid_from < now() AND (p.valid_until IS NULL OR p.valid_until > now())
    )
    INSERT INTO prices (variant_id, currency, amount_minor, valid_from)
    SELECT variant_id, currency, amount_minor, now() FROM changed ORDER BY variant_id, currency
    ON CONFLICT (variant_id, currency, valid_from)
        DO UPDATE SET amount_minor = excluded.amount_minor, valid_until = NULL
    RETURNING id
""")


@dataclass(frozen=True, slots=True)
class VariantRow:
    """A variant as it shall be. `backorder_policy` is `deny` or `continue`."""

    sku: str
    title: str
    category: str | None = None
    backorder_policy: str = "deny"
    active: bool = True


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A list price as it shall be from now on."""

    sku: str
    currency: str
    amount_minor: int


def upsert_variants(connection: Connection, rows: Iterable[VariantRow]) -> dict[str, int]:
    """Create the variants, or make them as given; return their ids by sku. What is so already is not written.

    Sorted by sku, so that two calls at once wait for each other in one order. A changed backorder policy reaches the
    stock levels with the next `set_stock` of the variant.
    """
    by_sku = index_rows(rows, lambda row: row.sku)
    ordered = [by_sku[sku] for sku in sorted(by_sku)]
    connection.execute(
        UPSERT_VARIANTS,
        {
            "skus": [row.sku for row in ordered],
            "titles": [row.title for row in ordered],
            "categories": [row.category for row in ordered],
            "policies": [row.backorder_policy for row in ordered],
            "actives": [row.active for row in ordered],
        },
    )
    return find_variants(connection, by_sku)


def set_prices(connection: Connection, rows: Iterable[PriceRow]) -> int:
    """Make these the list prices from now on and return how many changed; an unchanged price writes nothing.

    Prices that were valid end where the new one begins. One that is planned for later stays, and wins when its time
    comes. Set twice in one transaction, the last one counts.
    """
    by_key = index_rows(rows, lambda row: (row.sku, row.currency))
    ids = find_variants(connection, {row.sku for row in by_key.values()})
    given = [by_key[key] for key in sorted(by_key)]
    changed = connection.execute(
        SET_PRICES,
        {
            "ids": [ids[row.sku] for row in given],
            "currencies": [row.currency for row in given],
            "amounts": [row.amount_minor for row in given],
        },
    ).all()
    return len(changed)
