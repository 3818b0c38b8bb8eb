"""Tax rates, stored by the table: each is valid until the next one of its kind begins."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import Connection, text

from models.identifiers import (
    fold_tax_name,
    normalize_country,
    normalize_region,
    normalize_tax_category,
    normalize_tax_name,
)
from pipeline.catalog.skus import index_rows

#: Two concurrent imports would both find a rate missing and both insert it. Readers do not wait.
LOCK: Final = text("LOCK TABLE tax_rates IN SHARE ROW EXCLUSIVE MODE")

#: It reads every rate of the countries given: a new rate ends the one before it, and a planned one ends the new one.
STORE_TAXES: Final = text("""
    WITH given AS (
        SELECT * FROM unnest(CAST(:countries AS text[]), CAST(:regions AS text[]), CAST(:categories AS text[]),
                             CAST(:names AS text[]), CAST(:rates AS numeric[]), CAST(:on_shipping AS boolean[]),
                             CAST(:reverse_charge AS boolean[]), CAST(:starts AS timestamptz[]),
                             CAST(:ends AS timestamptz[]), CAST(:keys AS text[]))
            AS g (country, region, category, name, rate, on_shipping, reverse_charge, valid_from, valid_until, name_key)
    ), known AS (
        SELECT * FROM given
        UNION ALL
        SELECT country, region, category, name, rate, on_shipping, reverse_charge, valid_from, valid_until, name_key
        FROM tax_rates t
        WHERE country IN (SELECT country FROM given) AND NOT EXISTS (
            SELECT FROM given g
            WHERE (g.country, coalesce(g.region, ''), coalesce(g.category, ''), g.name_key, g.valid_from)
                = (t.country, coalesce(t.region, ''), coalesce(t.category, ''), t.name_key, t.valid_from))
    ), bounded AS (
        SELECT country, region, category, name, rate, on_shipping, reverse_charge, valid_from,
               least(valid_until, lead(valid_from) OVER (
                   PARTITION BY country, region, category, name_key ORDER BY valid_from)) AS valid_until, name_key
        FROM known
    )
    MERGE INTO tax_rates t USING bounded b
    ON (b.country, coalesce(b.region, ''), coalesce(b.category, ''), b.name_key, b.valid_from)
     = (t.country, coalesce(t.region, ''), coalesce(t.category, ''), t.name_key, t.valid_from)
    WHEN MATCHED AND (t.name, t.rate, t.on_shipping, t.reverse_charge, t.valid_until)
            IS DISTINCT FROM (b.name, b.rate, b.on_shipping, b.reverse_charge, b.valid_until) THEN
        UPDATE SET name = b.name, rate = b.rate, on_shipping = b.on_shipping, reverse_charge = b.reverse_charge,
            valid_until = b.valid_until
    WHEN NOT MATCHED THEN
        INSERT (country, region, category, name, rate, on_shipping, reverse_charge, valid_from, valid_until)
        VALUES (b.country, b.region, b.category, b.name, b.rate, b.on_shipping, b.reverse_charge, b.valid_from,
                b.valid_until)
""")


# The rule of pipeline/pricing/taxes/lapses.py for one cart: groups of a country, a region and a category that have a
# rate at some other time, and now neither one of their own nor one of no category; and delivery that was taxed.
_VALID_NOW = "{0}.valid_from <= now() AND ({0}.valid_until IS NULL OR {0}.valid_until > now())"
#: A query for the number of groups without a valid rate now.
COUNT_LAPSED: Final = f"""
    SELECT count(*) FROM (
        SELECT country, region, category, false AS shipping FROM tax_rates t
        GROUP BY country, region, category
        HAVING NOT EXISTS (SELECT FROM tax_rates v
                           WHERE v.country = t.country AND v.region IS NOT DISTINCT FROM t.region
                             AND (v.category IS NULL OR v.category = t.category) AND {_VALID_NOW.format("v")})
           AND (bool_or(valid_until <= now())
                OR NOT EXISTS (SELECT FROM tax_rates v
                               WHERE v.country = t.country AND (v.region IS NULL OR v.region = t.region)
                                 AND (v.category IS NULL OR v.category = t.category) AND {_VALID_NOW.format("v")}))
        UNION ALL
        SELECT DISTINCT country, region, NULL, true FROM tax_rates t
        WHERE on_shipping AND category IS NULL AND valid_until <= now()
          AND EXISTS (SELECT FROM tax_rates v
                      WHERE v.country = t.country AND v.region IS NOT DISTINCT FROM t.region
                        AND v.category IS NULL AND {_VALID_NOW.format("v")})
          AND NOT EXISTS (SELECT FROM tax_rates v
                          WHERE v.country = t.country AND v.region IS NOT DISTINCT FROM t.region
                            AND v.category IS NULL AND (v.on_shipping OR v.name = t.name) AND {_VALID_NOW.format("v")})
    ) missed
"""


@dataclass(frozen=True, slots=True)
class TaxRow:
    """A tax rate as it shall be. `rate` is a fraction: 0.20 is 20 %; without `valid_until` it has no end yet.

    Its names are normalised; ValueError says which one is no name.
    """

    country: str
    name: str
    rate: Decimal
    valid_from: datetime
    region: str | None = None
    category: str | None = None
    valid_until: datetime | None = None
    on_shipping: bool = True
    reverse_charge: bool = False

    def __post_init__(self) -> None:
        """Normalise country, region, category and name."""
        country = normalize_country(self.country)
        object.__setattr__(self, "country", country)
        object.__setattr__(self, "name", normalize_tax_name(self.name))
        if self.region is not None:
            object.__setattr__(self, "region", normalize_region(country, self.region))
        if self.category is not None:
            object.__setattr__(self, "category", normalize_tax_category(self.category))

    @property
    def key(self) -> tuple[str, str, str, str, datetime]:
        """What makes it one: country, region, category, name, and the moment it begins."""
        return self.country, self.region or "", self.category or "", fold_tax_name(self.name), self.valid_from


def store_taxes(connection: Connection, rows: Iterable[TaxRow]) -> int:
    """Store the rates and return how many rows were written, those that a new rate ended included.

    A rate is known by country, region, category, name and the moment it begins; the same again writes nothing.
    """
    by_key = index_rows(rows, lambda row: row.key)
    ordered = [by_key[key] for key in sorted(by_key)]
    connection.execute(LOCK)
    return connection.execute(
        STORE_TAXES,
        {
            "countries": [row.country for row in ordered],
            "regions": [row.region for row in ordered],
            "categories": [row.category for row in ordered],
            "names": [row.name for row in ordered],
            "rates": [row.rate for row in ordered],
            "on_shipping": [row.on_shipping for row in ordered],
            "reverse_charge": [row.reverse_charge for row in ordered],
            "starts": [row.valid_from for row in ordered],
            "ends": [row.valid_until for row in ordered],
            "keys": [fold_tax_name(row.name) for row in ordered],
        },
    ).rowcount
