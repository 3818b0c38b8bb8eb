"""Rows of exchange rates and tax rates."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Engine

from tests.integration.catalog.stockroom import rows_of

NEW_YEAR: Final = datetime(2026, 1, 1, tzinfo=UTC)


def read_rates(engine: Engine) -> list[tuple[object, ...]]:
    """Every rate with the transaction that wrote it last."""
    with engine.begin() as connection:
        return rows_of(
            connection,
            "SELECT base, quote, rate, source, observed_at, xmin::text FROM exchange_rates"
            " ORDER BY observed_at, source, quote",
        )


def read_taxes(engine: Engine) -> list[tuple[object, ...]]:
    with engine.begin() as connection:
        return rows_of(
            connection,
            "SELECT country, region, category, name, rate, valid_from, valid_until FROM tax_rates"
            " ORDER BY country, region NULLS FIRST, category NULLS FIRST, name, valid_from",
        )
