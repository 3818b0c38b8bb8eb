"""What each kind of promotion takes off, by another way than the engine's: one function, and one line of `EXPECTED`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from hypothesis import strategies as st

from models.states import PromotionKind
from pipeline.pricing.terms import Goods, Promotion
from tests.unit.pricing.exact_shares import half_up, in_proportion

prices = st.one_of(st.integers(0, 20), st.integers(0, 10**6), st.integers(0, 10**12))

#: What the figures of a promotion are drawn from. It has them all: those of other kinds mean nothing to it.
FIGURES: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "percent": st.decimals(0, 100, places=4),
    "amount_minor": prices,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """The lines that a promotion is for, what is left of each and of shipping, and the currency of the cart."""

    currency: str
    goods: list[Goods]
    left: list[int]
    shipping: int


#: What is taken off each line, and off shipping.
Taken = tuple[list[int], int]


def expect_percentage(promotion: Promotion, seen: Seen) -> Taken:
    amount = half_up(sum(seen.left) * Fraction(promotion.percent or 0) / 100)
    return in_proportion(amount, seen.left), 0


def expect_amount(promotion: Promotion, seen: Seen) -> Taken:
    amount = min(promotion.amount_minor or 0, sum(seen.left)) if promotion.currency == seen.currency else 0
    return in_proportion(amount, seen.left), 0


def expect_free_shipping(promotion: Promotion, seen: Seen) -> Taken:
    return [0] * len(seen.left), seen.shipping


EXPECTED: Final[Mapping[PromotionKind, Callable[[Promotion, Seen], Taken]]] = {
    PromotionKind.PERCENTAGE: expect_percentage,
    PromotionKind.FIXED_AMOUNT: expect_amount,
    PromotionKind.FREE_SHIPPING: expect_free_shipping,
}
