"""Taxes are accepted with every usual rounding of an upstream; one minor unit beyond what rounding explains is not."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pricing.external import check_external
from pipeline.pricing.shares import round_half_up, round_together
from pipeline.pricing.terms import GivenDiscount, GivenTax, Goods, Order
from tests.factories.orders import goods, order, shipping


def tax(rate: str, amount: int, name: str = "VAT") -> GivenTax:
    return GivenTax(name, Decimal(rate), amount)


@pytest.mark.parametrize(
    ("price", "quantity", "rate", "amount"),
    [(780, 80, "0.21", 13120), (1559, 4, "0.09", 560), (333, 1000, "0.07", 23000), (5, 3000, "0.2", 3000)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_tax_of_many_pieces_may_be_off_by_half_a_unit_each_and_no_more(
    price: int, quantity: int, rate: str, amount: int, sign: int
) -> None:
    def check(given_minor: int) -> object:
        return check_external(order(goods(1, price, quantity, tax_included=False, taxes=(tax(rate, given_minor),))))

    assert check(amount) is None
    exact = price * quantity * Fraction(rate)
    bound = quantity * (1 + Fraction(rate)) / 2
    last = floor(exact + bound) if sign > 0 else ceil(exact - bound)
    assert check(last) is None
    assert getattr(check(last + sign), "code", None) == "tax_inconsistent"


def test_a_tax_in_a_price_and_a_discount_by_the_piece() -> None:
    # 15.59 with 9 % in it is 1.287..., so 1.29; and 10 % off is 1.559, so 1.56: 14.03 with 1.158..., so 1.16.
    gross = goods(1, 1559, 40, taxes=(tax("0.09", 40 * 129),))
    assert check_external(order(gross)) is None
    cut = replace(gross, discounts=(GivenDiscount("Ten", 40 * 156),), taxes=(tax("0.09", 40 * 116),))
    assert check_external(order(cut)) is None
    # Twice what rounding can explain.
    assert check_external(order(replace(gross, taxes=(tax("0.09", 40 * 131),)))) is not None


def test_what_one_line_has_more_the_others_have_less() -> None:
    # Given ten lines of 0.05 at 9 %: each rounds to nothing, the order to 0.05, and the last line gets it all
    lines = [goods(line, 5, tax_included=False, taxes=(tax("0.09", 0),)) for line in range(1, 11)]
    last = replace(lines[-1], taxes=(tax("0.09", 5),))
    assert check_external(order(*lines[:-1], last)) is None
    # When each line claims to be the last
    greedy = [replace(each, taxes=(tax("0.09", 5),)) for each in lines]
    objection = check_external(order(*greedy))
    assert objection is not None
    assert (objection.where, objection.reason) == ("the cart", "its taxes add up to 50, and by their rates to 5")


RATES: Final = st.lists(
    st.sampled_from(["0.05", "0.0725", "0.09", "0.19", "0.21", "0.0825", "0.27"]), min_size=1, max_size=3, unique=True
)


@st.composite
def untaxed(draw: st.DrawFn) -> tuple[list[Goods], list[str]]:
    """Lines with prices, quantities and discounts, and the rates that they are all taxed by."""
    lines = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        price, quantity = draw(st.integers(1, 5000)), draw(st.integers(1, 300))
        per_piece = draw(st.integers(0, price // 2))
        cut = (GivenDiscount("Cut", per_piece * quantity),) if per_piece else None
        lines.append(goods(number, price, quantity, tax_included=draw(st.booleans()), discounts=cut))
    return lines, draw(RATES)


def _piece(line: Goods) -> int:
    return line.unit_price_minor - sum(each.amount_minor for each in line.discounts or ()) // line.quantity


def _net(amount: int, rates: list[str], *, included: bool) -> Fraction:
    return Fraction(amount) / (1 + sum(map(Fraction, rates))) if included else Fraction(amount)


def per_piece(line: Goods, rates: list[str]) -> list[int]:
    """Round the tax of a piece."""
    net = _net(_piece(line), rates, included=line.tax_included)
    return [line.quantity * round_half_up(net * Fraction(rate)) for rate in rates]


def per_net_piece(line: Goods, rates: list[str]) -> list[int]:
    """Round the price of a piece without tax, and then its tax."""
    net = round_half_up(_net(_piece(line), rates, included=line.tax_included))
    return [line.quantity * round_half_up(net * Fraction(rate)) for rate in rates]


def per_line(line: Goods, rates: list[str]) -> list[int]:
    """Round once."""
    net = _net(_piece(line) * line.quantity, rates, included=line.tax_included)
    return [round_half_up(net * Fraction(rate)) for rate in rates]


def is_taken(lines: list[Goods], rates: list[str], amounts: list[list[int]]) -> bool:
    given_lines = [
        replace(line, taxes=tuple(tax(*each, name=f"T{each[0]}") for each in zip(rates, taxes, strict=True)))
        for line, taxes in zip(lines, amounts, strict=True)
    ]
    # A tax in a price that is more than the price cannot be, however it was rounded.
    if any(
        line.tax_included and sum(each) > _piece(line) * line.quantity
        for line, each in zip(lines, amounts, strict=True)
    ):
        return True
    return check_external(Order(currency="EUR", goods=tuple(given_lines), shipping=shipping(500))) is None


@settings(max_examples=150)
@given(untaxed())
def test_every_usual_rounding_is_accepted(given_order: tuple[list[Goods], list[str]]) -> None:
    lines, rates = given_order
    for rounding in (per_piece, per_net_piece, per_line):
        assert is_taken(lines, rates, [rounding(line, rates) for line in lines]), rounding.__doc__
    exact = [
        [_net(_piece(line) * line.quantity, rates, included=line.tax_included) * Fraction(rate) for rate in rates]
        for line in lines
    ]
    assert is_taken(lines, rates, [[floor(cell) for cell in row] for row in exact])
    assert is_taken(lines, rates, [[ceil(cell) for cell in row] for row in exact])
    # Once for the order: shared out by largest remainder, or the rest for the last line.
    columns = [list(column) for column in zip(*exact, strict=True)]
    totals = [round_half_up(sum(column, Fraction())) for column in columns]
    shared = [round_together(total, column) for total, column in zip(totals, columns, strict=True)]
    assert is_taken(lines, rates, [list(row) for row in zip(*shared, strict=True)])
    rest = [
        [*map(round_half_up, column[:-1]), total - sum(map(round_half_up, column[:-1]))]
        for total, column in zip(totals, columns, strict=True)
    ]
    if all(each >= 0 for column in rest for each in column):
        assert is_taken(lines, rates, [list(row) for row in zip(*rest, strict=True)])


@given(untaxed(), st.sampled_from([1, -1]))
def test_a_unit_beyond_the_bound_is_refused(given_order: tuple[list[Goods], list[str]], sign: int) -> None:
    [line, *_], [rate, *_] = given_order
    exact = _net(_piece(line) * line.quantity, [rate], included=line.tax_included) * Fraction(rate)
    bound = max(Fraction(1), line.quantity * (1 + Fraction(rate)) / 2)
    amount = floor(exact + bound) + 1 if sign > 0 else ceil(exact - bound) - 1
    if amount >= 0:
        objection = check_external(order(replace(line, taxes=(tax(rate, amount),))))
        assert objection is not None
        assert objection.code == "tax_inconsistent"
