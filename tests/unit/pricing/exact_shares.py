"""Rounding and sharing as the oracles do it: one unit at a time, and not as the engine does."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor


def half_up(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


def spread(total: int, exact: Sequence[Fraction]) -> list[int]:
    """Hand out one unit at a time, each to whoever is furthest below the exact share; the first of equals."""
    parts = [floor(each) for each in exact]
    while sum(parts) < total:
        parts[max(range(len(parts)), key=lambda each: (exact[each] - parts[each], -each))] += 1
    return parts


def in_proportion(total: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    return spread(total, [Fraction(total * each, whole) if whole else Fraction(0) for each in weights])
