"""Exponential back-off: the wait doubles with each failure, up to a bound."""

from typing import Final

#: 2 ** 30 s are beyond any bound, and fit a double and an interval.
_MOST_DOUBLINGS: Final = 30


def back_off(earlier: int, *, first_seconds: float, longest_seconds: float) -> float:
    """Return how many seconds to wait after a failure that had `earlier` others before it."""
    return min(first_seconds * 2.0 ** min(earlier, _MOST_DOUBLINGS), longest_seconds)


def back_off_sql(earlier: str, *, first_seconds: str, longest_seconds: str) -> str:
    """Return the same as an SQL expression over the given ones: columns, bound parameters, numbers."""
    return f"least({first_seconds} * power(2, least({earlier}, {_MOST_DOUBLINGS})), {longest_seconds})"
