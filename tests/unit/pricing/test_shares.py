"""Shares always add up to the whole."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pricing.shares import round_half_up, share_out


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (2, [1, 1, 1], [1, 1, 0]),
        (5, [3, 0, 7], [2, 0, 3]),
        (10, [1, 2, 3], [2, 3, 5]),
        (1, [0, 0, 9], [0, 0, 1]),
        (0, [0, 0], [0, 0]),
        (0, [], []),
        (7, [Fraction(1, 3), Fraction(2, 3)], [2, 5]),
        (1, [0, 3], [0, 1]),
        (1, [Fraction(1, 2)], [1]),
        (5, [1, 1], [3, 2]),
    ],
)
def test_the_largest_remainder_gets_the_rest_and_then_the_first(
    total: int, weights: list[int | Fraction], parts: list[int]
) -> None:
    assert share_out(total, weights) == parts


@pytest.mark.parametrize(("total", "weights"), [(1, []), (1, [0, 0]), (-1, [1]), (-1, [0]), (3, [-1])])
def test_a_total_without_weights_is_a_programming_error(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"^{total} cannot be shared over weights of {sum(weights)}$"):
        share_out(total, weights)


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**9), min_size=1, max_size=30).filter(any))
def test_shares_add_up_and_are_less_than_one_from_exact(total: int, weights: list[int]) -> None:
    parts = share_out(total, weights)

    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert part >= 0
        assert abs(part - Fraction(total * weight, sum(weights))) < 1
        assert weight or not part


@pytest.mark.parametrize(
    ("exact", "rounded"),
    [("0", 0), ("0.4999", 0), ("0.5", 1), ("1.5", 2), ("2.5", 3), ("2.4999999999999999999999999999999999999999", 2)],
)
def test_a_half_is_rounded_up(exact: str, rounded: int) -> None:
    assert round_half_up(Fraction(exact)) == rounded
