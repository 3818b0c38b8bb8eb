"""Rounding and sharing of minor units. The parts always add up to the whole, exactly."""

from collections.abc import Sequence
from fractions import Fraction


def round_half_up(exact: Fraction) -> int:
    """Round an amount that is not negative to the nearest whole number, a half up."""
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def share_out(total: int, weights: Sequence[int | Fraction]) -> list[int]:
    """Share a whole amount in proportion to weights, by largest remainder.

    Every part is less than one unit from its exact share; equal remainders go to the first position; a weight of zero
    gets nothing. A total above zero without any weight is a programming error.
    """
    whole = sum(weights)
    if total == 0:
        return [0] * len(weights)
    if total < 0 or whole <= 0:
        raise ValueError(f"{total} cannot be shared over weights of {whole}")
    return round_together(total, [Fraction(total * weight) / whole for weight in weights])


def round_together(total: int, exact: Sequence[Fraction]) -> list[int]:
    """Round exact parts down or up so that they add up to `total`, which is their sum rounded either way."""
    parts = [part.numerator // part.denominator for part in exact]
    for position in by_remainder(exact)[: total - sum(parts)]:
        parts[position] += 1
    return parts


def by_remainder(exact: Sequence[Fraction]) -> list[int]:
    """Return the positions, the largest fraction beyond its whole number first, then the lowest position."""
    return sorted(range(len(exact)), key=lambda position: (-(exact[position] % 1), position))
