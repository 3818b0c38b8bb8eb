"""Exchange rates and tax rates on a real database, and the commands that import them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest
from sqlalchemy import Connection, Engine

from pipeline.catalog.exchange_rates import RateRow, store_rates
from pipeline.catalog.tax_rates import TaxRow, store_taxes
from tests.integration.catalog.price_rows import NEW_YEAR, read_rates, read_taxes
from tests.integration.catalog.stockroom import wait_for_blocked

MONDAY: Final = datetime(2026, 11, 23, 15, tzinfo=UTC)
JULY: Final = datetime(2026, 7, 1, tzinfo=UTC)
OCTOBER: Final = datetime(2026, 10, 1, tzinfo=UTC)


def usd(rate: str, *, observed_at: datetime = MONDAY, source: str = "ECB") -> RateRow:
    return RateRow("EUR", "USD", Decimal(rate), source, observed_at)


def test_rates_are_stored_once_and_a_correction_replaces_what_it_corrects(engine: Engine) -> None:
    rows = [usd("1.0512"), usd("1.05", source="bank"), usd("1.0498", observed_at=MONDAY - timedelta(days=3))]
    with engine.begin() as connection:
        assert store_rates(connection, rows) == 3
    before = read_rates(engine)
    with engine.begin() as connection:
        assert store_rates(connection, rows[::-1]) == 0
    assert read_rates(engine) == before

    with engine.begin() as connection:
        assert store_rates(connection, [*rows[1:], usd("1.0521")]) == 1

    after = read_rates(engine)
    assert [row[:5] for row in after] == [
        ("EUR", "USD", Decimal("1.0498"), "ECB", MONDAY - timedelta(days=3)),
        ("EUR", "USD", Decimal("1.0521"), "ECB", MONDAY),
        ("EUR", "USD", Decimal("1.05"), "bank", MONDAY),
    ]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_every_digit_that_fits_is_kept(engine: Engine) -> None:
    with engine.begin() as connection:
        store_rates(connection, [usd("9999999999.0123456789"), usd("0.0000000001", source="bank")])

    assert [row[2] for row in read_rates(engine)] == [Decimal("9999999999.0123456789"), Decimal("0.0000000001")]


def test_one_rate_twice_in_a_call_is_a_mistake_and_writes_nothing(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(ValueError, match="is given twice"):
        store_rates(connection, [usd("1.05"), usd("1.06")])

    assert read_rates(engine) == []


def test_nothing_is_no_work(connection: Connection) -> None:
    assert store_rates(connection, []) == 0
    assert store_taxes(connection, []) == 0


def test_a_new_tax_rate_ends_the_one_before_it_and_the_same_again_writes_nothing(engine: Engine) -> None:
    # Given the German rate, lowered in July and raised again in October, with the last step known already
    standard = [TaxRow("DE", "VAT", Decimal("0.19"), NEW_YEAR), TaxRow("DE", "VAT", Decimal("0.19"), OCTOBER)]
    lowered = TaxRow("DE", "VAT", Decimal("0.16"), JULY)
    books = TaxRow("DE", "VAT", Decimal("0.07"), NEW_YEAR, category="books")
    with engine.begin() as connection:
        assert store_taxes(connection, [*standard, books]) == 3

    with engine.begin() as connection:
        assert store_taxes(connection, [lowered]) == 2
    with engine.begin() as connection:
        assert store_taxes(connection, [*standard, lowered, books]) == 0

    assert read_taxes(engine) == [
        ("DE", None, None, "VAT", Decimal("0.19"), NEW_YEAR, JULY),
        ("DE", None, None, "VAT", Decimal("0.16"), JULY, OCTOBER),
        ("DE", None, None, "VAT", Decimal("0.19"), OCTOBER, None),
        ("DE", None, "books", "VAT", Decimal("0.07"), NEW_YEAR, None),
    ]


def test_a_tax_rate_is_corrected_and_its_neighbours_stay(engine: Engine) -> None:
    state = TaxRow("US", "State", Decimal("0.04"), NEW_YEAR, region="NY")
    with engine.begin() as connection:
        store_taxes(
            connection, [state, TaxRow("US", "State", Decimal("0.06"), NEW_YEAR, region="NJ", valid_until=JULY)]
        )

    with engine.begin() as connection:
        corrected = TaxRow("US", "State", Decimal("0.0625"), NEW_YEAR, region="NY", valid_until=OCTOBER)
        assert store_taxes(connection, [corrected]) == 1

    assert read_taxes(engine) == [
        ("US", "NJ", None, "State", Decimal("0.06"), NEW_YEAR, JULY),
        ("US", "NY", None, "State", Decimal("0.0625"), NEW_YEAR, OCTOBER),
    ]


def test_two_imports_of_one_tax_table_at_once_store_it_once(engine: Engine) -> None:
    rows = [TaxRow(country, "VAT", Decimal("0.2"), NEW_YEAR) for country in ("AT", "BE", "FR")]

    def store(given: list[TaxRow]) -> int:
        with engine.begin() as connection:
            return store_taxes(connection, given)

    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            assert store_taxes(connection, rows) == 3
            second = pool.submit(store, rows[::-1])
            wait_for_blocked(engine)
        assert second.result(timeout=10) == 0

    assert [row[0] for row in read_taxes(engine)] == ["AT", "BE", "FR"]
