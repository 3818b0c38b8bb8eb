"""However often a promotion is brought it counts once, and its minimum for what it is worth in any currency."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pricing.quote import hash_quote, price_order
from pipeline.pricing.terms import Order
from tests.factories.orders import exchange, goods, order, percentage
from tests.unit.pricing.oracle import orders


@pytest.mark.slow
@settings(max_examples=150)
@given(orders(), st.data())
def test_a_promotion_brought_twice_takes_off_what_it_takes_off_once(given_order: Order, data: st.DataObject) -> None:
    # Given each promotion by itself, by one code and by another, in any order
    codes = [None, "A", "B"]
    several = [replace(each, code=code) for each in given_order.promotions for code in codes]
    once, shuffled = price_order(given_order), data.draw(st.permutations(several))
    twice = price_order(replace(given_order, promotions=tuple(shuffled)))
    # Then
    assert (twice.discount_minor, twice.total_minor) == (once.discount_minor, once.total_minor)
    assert {each.code for line in twice.lines for each in line.discounts if each.promotion_id} <= {"A"}
    again = price_order(replace(given_order, promotions=tuple(reversed(shuffled))))
    assert hash_quote(again) == hash_quote(twice)


@given(
    minimum=st.integers(1, 10**9),
    price=st.integers(0, 10**9),
    rate=st.decimals("0.0001", "20000", places=4),
    currency=st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_a_minimum_is_reached_exactly_where_the_rate_says(
    minimum: int, price: int, rate: Decimal, currency: str
) -> None:
    given_order = order(
        goods(1, price),
        promotions=(percentage(1, "100", minimum_minor=minimum, currency=currency),),
        rates=(exchange("EUR", currency, str(rate)),),
    )
    digits = {"USD": 2, "JPY": 0, "KWD": 3}[currency]
    spent = Fraction(price, 100) * Fraction(rate)
    assert (price_order(given_order).total_minor == 0) == (spent >= Fraction(minimum, 10**digits) or price == 0)
