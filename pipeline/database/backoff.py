"""Exponential back-off: the wait doubles with each failure, up to a longest one."""

from typing import Final

#: 2 ** 30 s are beyond any longest wait, and far from what a double or an interval cannot hold.
_MOST_DOUBLINGS: Final = 30


def back_off(earlier: int, *, first_seconds: float, longest_seconds: float) -> float:
    """Return how many seconds to wait after a failure that `earlier` others went before."""
    return min(first_seconds * 2.0 ** min(earlier, _MOST_DOUBLINGS), longest_seconds)


def back_off_sql(earlier: str, *, first_seconds: str, longest_seconds: str) -> str:
    """Return the same as an SQL expression over the expressions given: columns, bound parameters, numbers."""
    return f"least({first_seconds} * power(2, least({earlier}, {_MOST_DOUBLINGS})), {longest_seconds})"
