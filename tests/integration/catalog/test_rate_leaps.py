"""Exchange rates that are too far from the one before them to be believed, on a real database."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from pipeline.catalog.exchange_rates import RateRow, store_rates
from pipeline.catalog.rate_leaps import Leap, split_leaps

THURSDAY = datetime(2026, 11, 26, 15, tzinfo=UTC)

Made = tuple[int, str]


def make(*days_and_rates: Made, quote: str = "JPY", source: str = "ECB") -> list[RateRow]:
    """Rates of so many days after Thursday."""
    return [
        RateRow("EUR", quote, Decimal(rate), source, THURSDAY + timedelta(days=days)) for days, rate in days_and_rates
    ]


def split(engine: Engine, stored: list[RateRow], given: list[RateRow]) -> tuple[list[RateRow], list[Leap]]:
    with engine.begin() as connection:
        store_rates(connection, stored)
        return split_leaps(connection, given)


@pytest.mark.parametrize(
    ("stored", "given", "leaps"),
    [
        # Cut off in the number; the next day of what is stored, and the same day again
        ([(0, "181.25")], [(1, "18")], [(1, "181.25", 0)]),
        ([(0, "181.25")], [(0, "18")], [(0, "181.25", 0)]),
        ([(0, "181.25")], [(1, "1")], [(1, "181.25", 0)]),
        # A point lost, one digit changed, another currency's rate
        ([(0, "1.1602")], [(1, "11602")], [(1, "1.1602", 0)]),
        ([(0, "1.1602")], [(1, "7.1602")], [(1, "1.1602", 0)]),
        ([(0, "1.1602")], [(1, "0.7602")], [(1, "1.1602", 0)]),
        # Within a file that comes first: what follows a rate that is not believed is compared with the one before
        ([], [(0, "181.25"), (1, "18"), (2, "181.4")], [(1, "181.25", 0)]),
        ([], [(2, "181.4"), (1, "18"), (0, "181.25")], [(1, "181.25", 0)]),
        # A correction of what is in the middle, believed by its neighbours and not by what it corrects
        ([(0, "181.25"), (1, "18"), (2, "181.4")], [(1, "181.3")], []),
        ([(0, "181.25"), (1, "181.3"), (2, "181.4")], [(1, "18.13")], [(1, "181.25", 0)]),
        # Older than all that is stored
        ([(0, "181.25")], [(-3, "18")], [(-3, "181.25", 0)]),
        ([(0, "181.25")], [(-3, "160")], []),
        # What the bank's own history has: Iceland on a day in 2008, Turkey on one in 2021, Iceland after nine years
        ([(0, "305")], [(1, "205")], []),
        ([(0, "20.0434")], [(1, "14.7132")], []),
        ([(0, "290")], [(3341, "125.01")], []),
        # The bounds: half as much again within a week, three times as much later
        ([(0, "100")], [(7, "150")], []),
        ([(0, "100")], [(7, "150.0000000001")], [(7, "100", 0)]),
        ([(0, "150.0000000001")], [(7, "100")], [(7, "150.0000000001", 0)]),
        ([(0, "100")], [(8, "300")], []),
        ([(0, "100")], [(8, "300.0000000001")], [(8, "100", 0)]),
        ([], [(0, "0.0000000001")], []),
        ([], [], []),
    ],
)
def test_a_step_is_compared_with_the_rate_before_it(
    engine: Engine, stored: list[Made], given: list[Made], leaps: list[tuple[int, str, int]]
) -> None:
    believed, found = split(engine, make(*stored), make(*given))

    assert [
        ((leap.row.observed_at - THURSDAY).days, leap.other_rate, (leap.other_at - THURSDAY).days) for leap in found
    ] == [(day, Decimal(rate), other) for day, rate, other in leaps]
    assert believed == [row for row in make(*given) if row not in [leap.row for leap in found]]


def test_other_currencies_and_sources_are_no_measure(engine: Engine) -> None:
    stored = make((0, "1.1602"), quote="USD") + make((0, "18"), source="bank")

    believed, leaps = split(engine, stored, make((1, "181.25")))

    assert (believed, leaps) == (make((1, "181.25")), [])


def test_one_currency_that_leaps_leaves_the_others(engine: Engine) -> None:
    given = make((1, "1.16"), quote="USD") + make((1, "18")) + make((1, "0.85"), quote="GBP")

    believed, leaps = split(engine, make((0, "181.25")), given)

    assert believed == [given[0], given[2]]
    assert [(leap.row, leap.factor) for leap in leaps] == [(given[1], Decimal("1.5"))]
