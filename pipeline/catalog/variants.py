"""Variants and prices: set by the thousand, one round trip per statement.

Every function takes all its rows at once and works inside the caller's transaction. Stock is in
`pipeline/catalog/stock.py`; set it last, so that its row locks are held for the shortest time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from pipeline.catalog.skus import find_variants, index_rows

UPSERT_VARIANTS: Final = text("""
    INSERT INTO variants (sku, title, category, backorder_policy, active)
    SELECT * FROM unnest(CAST(:skus AS text[]), CAST(:titles AS text[]), CAST(:categories AS text[]),
                         CAST(:policies AS text[]), CAST(:actives AS boolean[]))
    ON CONFLICT (sku) DO UPDATE SET title = excluded.title, category = excluded.category,
        backorder_policy = excluded.backorder_policy, active = excluded.active
    WHERE (variants.title, variants.category, variants.backorder_policy, variants.active)
        IS DISTINCT FROM (excluded.title, excluded.category, excluded.backorder_policy, excluded.active)
""")

# The base price is the one without an end; one with an end covers it while it is valid, and stays.
SET_PRICES: Final = text("""
    WITH given AS (
        SELECT variant_id, CAST(currency AS char(3)) AS currency, amount_minor, tax_included AS wanted_flag
        FROM unnest(CAST(:ids AS bigint[]), CAST(:currencies AS text[]), CAST(:amounts AS bigint[]),
                    CAST(:flags AS boolean[])) AS g (variant_id, currency, amount_minor, tax_included)
    ), known AS (
        SELECT given.*, base.amount_minor AS base_minor, former.tax_included AS former_flag,
               over.valid_until AS over_until
        FROM given
        LEFT JOIN LATERAL (
            SELECT p.amount_minor FROM prices p
            WHERE p.variant_id = given.variant_id AND p.currency = given.currency
              AND p.valid_from <= now() AND p.valid_until IS NULL
            ORDER BY p.valid_from DESC LIMIT 1) base ON true
        LEFT JOIN LATERAL (
            SELECT p.tax_included FROM prices p WHERE p.variant_id = given.variant_id
            ORDER BY p.currency = given.currency DESC, p.valid_from <= now() DESC, p.valid_until IS NULL DESC,
                     p.valid_from DESC LIMIT 1) former ON true
        LEFT JOIN LATERAL (
            SELECT max(p.valid_until) AS valid_until FROM prices p
            WHERE p.variant_id = given.variant_id AND p.currency = given.currency
              AND p.valid_from <= now() AND p.valid_until > now()) over ON true
    ), changed AS (
        SELECT * FROM known WHERE amount_minor IS DISTINCT FROM base_minor
    ), closed AS (
        UPDATE prices p SET valid_until = now() FROM changed
        WHERE p.variant_id = changed.variant_id AND p.currency = changed.currency
          AND p.valid_from < now() AND p.valid_until IS NULL
    ), written AS (
        INSERT INTO prices (variant_id, currency, amount_minor, tax_included, valid_from)
        SELECT variant_id, currency, amount_minor, coalesce(former_flag, wanted_flag, true), now()
        FROM changed ORDER BY variant_id, currency
        ON CONFLICT (variant_id, currency, valid_from)
            DO UPDATE SET amount_minor = excluded.amount_minor, valid_until = NULL
    )
    SELECT count(*) FILTER (WHERE amount_minor IS DISTINCT FROM base_minor) AS changed,
           count(*) FILTER (WHERE former_flag <> wanted_flag) AS flags_kept,
           count(over_until) AS covered, max(over_until) AS covered_until
    FROM known
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
    """A list price as it shall be from now on.

    `tax_included` is for a variant without a price, and true by default; every other variant keeps its flag.
    """

    sku: str
    currency: str
    amount_minor: int
    tax_included: bool | None = None


@dataclass(frozen=True, slots=True)
class PriceChanges:
    """Counts of prices that were set.

    `changed` were written. `flags_kept` kept a `tax_included` that differs from the row's. `covered` are covered by a
    price with an end, the last of them until `covered_until`.
    """

    changed: int = 0
    flags_kept: int = 0
    covered: int = 0
    covered_until: datetime | None = None


def upsert_variants(connection: Connection, rows: Iterable[VariantRow]) -> dict[str, int]:
    """Create or update the variants; return their ids by sku. A variant that is as given already is not written.

    Sorted by sku, so that concurrent calls wait for each other in one order. A changed backorder policy is copied to
    the stock levels by the next `set_stock` of the variant.
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


def set_prices(connection: Connection, rows: Iterable[PriceRow]) -> PriceChanges:
    """Set the list prices from now on and return what that changed; an unchanged price writes nothing.

    The base price, which has no end, ends where the new one begins. A price with an end keeps its window: while it is
    valid it precedes the base price, which is valid again when it ends. A price that is planned for later stays, and
    becomes the base price at its time. Of two in one transaction, the last one counts.
    """
    by_key = index_rows(rows, lambda row: (row.sku, row.currency))
    ids = find_variants(connection, {row.sku for row in by_key.values()})
    given = [by_key[key] for key in sorted(by_key)]
    changes = connection.execute(
        SET_PRICES,
        {
            "ids": [ids[row.sku] for row in given],
            "currencies": [row.currency for row in given],
            "amounts": [row.amount_minor for row in given],
            "flags": [row.tax_included for row in given],
        },
    ).one()
    return PriceChanges(changes.changed, changes.flags_kept, changes.covered, changes.covered_until)
