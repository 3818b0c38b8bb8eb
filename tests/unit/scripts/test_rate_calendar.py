"""A rate of the ECB is not too old before the next one can be imported, also over holidays."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from pipeline.checkouts import Rejected
from pipeline.errors import Code
from pipeline.pricing.loader import build_order
from pipeline.pricing.terms import Order
from scripts.importers.exchange_rates import PUBLISHED
from tests.factories.baskets import BASKET
from tests.factories.orders import exchange
from tests.unit.pricing.test_build_order import SETTINGS, TERMS

DAY = timedelta(days=1)
#: A daily import may miss a publication by a moment.
IMPORT = DAY

#: Working days with a holiday beside them: the last one before it, and the first one after it.
REAL = {
    "Easter 2026": (date(2026, 4, 2), date(2026, 4, 7)),
    "Easter 2027, the clocks changed": (date(2027, 3, 25), date(2027, 3, 30)),
    "Christmas 2026": (date(2026, 12, 24), date(2026, 12, 28)),
    "Christmas 2028, a Monday": (date(2028, 12, 22), date(2028, 12, 27)),
    "Christmas 2031, a Thursday": (date(2031, 12, 24), date(2031, 12, 29)),
    "New Year 2027, a Friday": (date(2026, 12, 31), date(2027, 1, 4)),
    "the first of May 2026, a Friday": (date(2026, 4, 30), date(2026, 5, 4)),
}


def find_easter(year: int) -> date:
    """Return Easter Sunday, by the computation of Meeus."""
    century, rest = divmod(year, 100)
    golden = year % 19
    lunar = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    week = (32 + 2 * (century % 4) + 2 * (rest // 4) - lunar - rest % 4) % 7
    shift = (golden + 11 * lunar + 22 * week) // 451
    month, day = divmod(lunar + week - 7 * shift + 114, 31)
    return date(year, month, day + 1)


def is_open(day: date) -> bool:
    """Return whether the ECB publishes on that day, by its TARGET calendar."""
    easter = find_easter(day.year)
    closed = {easter - 2 * DAY, easter + DAY}
    fixed = {(1, 1), (5, 1), (12, 25), (12, 26)}
    return day.weekday() < 5 and day not in closed and (day.month, day.day) not in fixed


def publications(first: date, last: date) -> Iterator[datetime]:
    for number in range((last - first).days + 1):
        if is_open(day := first + number * DAY):
            yield datetime.combine(day, PUBLISHED)


def test_the_calendar_is_the_real_one() -> None:
    assert [find_easter(year) for year in (2024, 2025, 2026, 2027, 2038)] == [
        date(2024, 3, 31),
        date(2025, 4, 20),
        date(2026, 4, 5),
        date(2027, 3, 28),
        date(2038, 4, 25),
    ]
    for before, after in REAL.values():
        assert [each.date() for each in publications(before, after)] == [before, after]


def test_no_two_publications_of_a_century_are_further_apart_than_the_default_allows() -> None:
    moments = list(publications(date(2000, 1, 1), date(2099, 12, 31)))
    longest = max(later - earlier for earlier, later in pairwise(moments))
    # Four closed days in a row: five days from one to the next.
    assert longest == timedelta(hours=120)
    assert timedelta(hours=SETTINGS.rate_max_age_hours) == longest + IMPORT


@pytest.mark.parametrize(("before", "after"), REAL.values(), ids=REAL)
@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=1), timedelta(hours=7), IMPORT])
def test_the_last_rate_before_a_holiday_holds_until_the_next_one_is_imported(
    before: date, after: date, late: timedelta
) -> None:
    rate = replace(exchange("EUR", "USD", "1.1"), observed_at=datetime.combine(before, PUBLISHED))
    terms = replace(TERMS, exchange=(rate,), now=datetime.combine(after, PUBLISHED) + late)
    built = build_order(replace(BASKET, currency="USD"), terms, (), SETTINGS)
    assert isinstance(built, Order)
    assert built.exchange == rate


def test_a_rate_that_missed_two_publications_is_refused() -> None:
    # Given that nothing was imported after Easter
    rate = replace(exchange("EUR", "USD", "1.1"), observed_at=datetime(2026, 4, 2, 15, tzinfo=UTC))
    terms = replace(TERMS, exchange=(rate,), now=datetime(2026, 4, 8, 15, 0, 1, tzinfo=UTC))
    built = build_order(replace(BASKET, currency="USD"), terms, (), SETTINGS)
    assert isinstance(built, Rejected)
    assert built.code is Code.EXCHANGE_RATE_STALE
