"""Exchange rates as others publish them: stored by the thousand; a correction replaces the rate that it corrects."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from sqlalchemy import Connection, text

from pipeline.catalog.skus import index_rows
from pipeline.settings import Settings

STORE_RATES: Final = text("""
    INSERT INTO exchange_rates (base, quote, rate, source, observed_at)
    SELECT * FROM unnest(CAST(:bases AS text[]), CAST(:quotes AS text[]), CAST(:rates AS numeric[]),
                         CAST(:sources AS text[]), CAST(:moments AS timestamptz[]))
    ON CONFLICT (base, quote, source, observed_at) DO UPDATE SET rate = excluded.rate
    WHERE exchange_rates.rate <> excluded.rate
    RETURNING id
""")


#: By its index, whatever the number of rates.
NEWEST: Final = "SELECT max(observed_at) FROM exchange_rates"


@dataclass(frozen=True, slots=True)
class RateRow:
    """One unit of `base` was `rate` units of `quote` at `observed_at`, says `source`."""

    base: str
    quote: str
    rate: Decimal
    source: str
    observed_at: datetime


def store_rates(connection: Connection, rows: Iterable[RateRow]) -> int:
    """Store the rates and return how many are new or corrected; a rate that is stored already is not written.

    Sorted by their key, so that concurrent calls wait for each other in one order. A price lock keeps the rate with
    which it was made: it has a copy.
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


def read_newest(connection: Connection) -> datetime | None:
    """Return when the newest rate of all was observed; None when none is stored."""
    newest: datetime | None = connection.execute(text(NEWEST)).scalar_one()
    return newest


def is_too_old(newest: datetime | None, now: datetime, settings: Settings) -> bool:
    """Return whether even the newest rate is too old to convert a price. Without any rate the answer is False."""
    return newest is not None and now - newest > timedelta(hours=settings.rate_max_age_hours)
