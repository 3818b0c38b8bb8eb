"""Random orders against an oracle of its own: everything is computed again with fractions, another way."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings

from pipeline.pricing.terms import Order
from pipeline.settings import TaxRounding
from tests.unit.pricing.exact_shares import half_up, spread
from tests.unit.pricing.oracle import expect_exact, find_parts, orders, read_amounts

pytestmark = pytest.mark.slow


@settings(max_examples=400)
@given(orders())
def test_discounts_are_those_of_the_oracle(order: Order) -> None:
    for quoted, left, _ in find_parts(order):
        taken = sum(each.amount_minor for each in quoted.discounts if each.promotion_id is not None)
        assert quoted.subtotal_minor - taken == left >= 0


@settings(max_examples=400)
@given(orders())
def test_taxes_rounded_per_line_are_those_of_the_oracle(order: Order) -> None:
    order = replace(order, tax_rounding=TaxRounding.LINE)
    for part in find_parts(order):
        quoted, _, named = part
        exact = expect_exact(part)
        expected = {name: half_up(each) for name, each in exact.items()}
        if quoted.tax_included:
            tax, whole = half_up(sum(exact.values(), Fraction())), sum(Fraction(each.rate) for each in named.values())
            shares = [tax * Fraction(each.rate) / whole if whole else Fraction() for each in named.values()]
            expected = dict(zip(exact, spread(tax, shares), strict=True))
        amounts = read_amounts(order, part)
        assert amounts == {name: expected[name] for name in amounts}
        assert amounts or not named or all(each.reverse_charge for each in named.values())


@settings(max_examples=400)
@given(orders())
def test_taxes_rounded_per_order_add_up_to_the_sum_rounded_once(order: Order) -> None:
    order = replace(order, tax_rounding=TaxRounding.ORDER)
    exact: dict[tuple[str, Decimal, bool, bool], list[Fraction]] = {}
    amounts: dict[tuple[str, Decimal, bool, bool], list[int]] = {}
    tiny = False
    for part in find_parts(order):
        quoted, left, named = part
        # A price below two units a tax may be too small to take them all, and then they go elsewhere.
        tiny |= quoted.tax_included and left < 2 * len(named)
        shares = expect_exact(part)
        for name, amount in read_amounts(order, part).items():
            rate = named[name]
            key = (name, rate.rate, rate.reverse_charge and order.reverse_charged, quoted.tax_included)
            exact.setdefault(key, []).append(shares[name])
            amounts.setdefault(key, []).append(amount)
    for key, shares_of_one in exact.items():
        total = half_up(sum(shares_of_one, Fraction()))
        if not tiny:
            assert amounts[key] == spread(total, shares_of_one)
        assert sum(amounts[key]) <= total
        assert all(abs(part - share) < 1 for part, share in zip(amounts[key], shares_of_one, strict=True)) or tiny
