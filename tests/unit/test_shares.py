"""Sharing whole amounts: the ends of what can be shared."""

from fractions import Fraction

import pytest

from pipeline.pricing.shares import share_out


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [(0, [], []), (0, [0, 0], [0, 0]), (1, [0, 3], [0, 1]), (1, [Fraction(1, 2)], [1]), (5, [1, 1], [3, 2])],
)
def test_what_can_be_shared(total: int, weights: list[int | Fraction], parts: list[int]) -> None:
    assert share_out(total, weights) == parts


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (-1, [0]), (1, []), (1, [0, 0]), (3, [-1])])
def test_what_cannot_be_shared_says_so(total: int, weights: list[int | Fraction]) -> None:
    with pytest.raises(ValueError, match=rf"^{total} cannot be shared over weights of {sum(weights)}$"):
        share_out(total, weights)
