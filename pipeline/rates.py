"""Exchange rates as others publish them: stored by the thousand, a correction in place of what it corrects."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import Connection, text

from pipeline.skus import index_rows

STORE_RATES: Final = text("""
    INSERT INTO exchange_rates (base, quote, rate, source, observed_at)
    SELECT * FROM unnest(CAST(:bases AS text[]), CAST(:quotes AS text[]), CAST(:rates AS numeric[]),
                         CAST(:sources AS text[]), CAST(:moments AS timestamptz[]))
    ON CONFLICT (base, quote, source, observed_at) DO UPDATE SET rate = excluded.rate
    WHERE exchange_rates.rate <> excluded.rate
    RETURNING id
""")


@dataclass(frozen=True, slots=True)
class RateRow:
    """One unit of `base` was `rate` units of `quote` at `observed_at`, says `source`."""

    base: str
    quote: str
    rate: Decimal
    source: str
    observed_at: datetime


def store_rates(connection: Connection, rows: Iterable[RateRow]) -> int:
    """Store the rates and return how many are new or corrected; what is there already is not written.

    Sorted by their key, so that two calls at once wait for each other in one order. What has been locked with a rate
    keeps that rate: the lock has its own copy.
    """
    by_key = index_rows(rows, lambda row: (row.base, row.quote, row.source, row.observed_at))
    ordered = [by_key[key] for key in sorted(by_key)]
    stored = connection.execute(
        STORE_RATES,
        {
            "bases": [row.base for row in ordered],
            "quotes": [row.quote for row in ordered],
            "rates": [row.rate for row in ordered],
            "sources": [row.source for row in ordered],
            "moments": [row.observed_at for row in ordered],
        },
    ).all()
    return len(stored)
