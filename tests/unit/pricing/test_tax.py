"""Taxes: which apply, how much they are, and how they are rounded."""

from decimal import Decimal

import pytest

from pipeline.pricing.quote import price_order
from pipeline.pricing.taxes.tax import choose_rates, write_rate
from pipeline.pricing.terms import AppliedDiscount, AppliedTax, GivenTax, TaxRate
from pipeline.settings import TaxRounding
from tests.factories.orders import goods, order, percentage, shipping, vat

STATE, COUNTY = TaxRate("State", Decimal("0.06"), on_shipping=False), TaxRate("County", Decimal("0.0125"))


@pytest.mark.parametrize(
    ("category", "chosen"), [(None, "0.19"), ("books", "0.08"), ("food", "0.05"), ("unheard of", "0.19")]
)
def test_of_one_name_the_most_specific_rate_applies(category: str | None, chosen: str) -> None:
    rates = [
        vat("0.20"),
        vat("0.19", region="X"),
        vat("0.07", category="books"),
        vat("0.08", category="books", region="X"),
        vat("0.05", category="food", region="X"),
    ]

    assert [rate.rate for rate in choose_rates(rates, category)] == [Decimal(chosen)]
    assert choose_rates(reversed(rates), category) == choose_rates(rates, category)


def test_a_region_goes_before_a_category() -> None:
    assert choose_rates([vat("0.07", category="books"), vat("0.19", region="X")], "books")[0].rate == Decimal("0.19")


def test_tax_in_a_price_is_taken_out_of_it_and_changes_no_total() -> None:
    quote = price_order(order(goods(1, 1000), tax_rates=(vat("0.20"),)))

    assert quote.lines[0].taxes == (AppliedTax("VAT", "0.2", 167),)
    assert (quote.tax_minor, quote.total_minor) == (167, 1000)


def test_tax_on_a_price_comes_on_top() -> None:
    quote = price_order(order(goods(1, 1000, tax_included=False), tax_rates=(STATE, COUNTY)))

    assert quote.lines[0].taxes == (AppliedTax("County", "0.0125", 13), AppliedTax("State", "0.06", 60))
    assert (quote.tax_minor, quote.total_minor) == (73, 1073)


def test_several_taxes_in_a_price_share_its_rounded_tax() -> None:
    quote = price_order(order(goods(1, 1000), tax_rates=(STATE, COUNTY)))

    # 1000 * 0.0725 / 1.0725 is 67.6
    assert [each.amount_minor for each in quote.lines[0].taxes] == [12, 56]
    assert (quote.tax_minor, quote.total_minor) == (68, 1000)


def test_tax_is_on_what_discounts_have_left() -> None:
    quote = price_order(order(goods(1, 1200), promotions=(percentage(1, "50"),), tax_rates=(vat("0.20"),)))

    assert (quote.tax_minor, quote.total_minor) == (100, 600)


@pytest.mark.parametrize(("rounding", "amounts"), [(TaxRounding.LINE, [1, 1, 1]), (TaxRounding.ORDER, [1, 1, 0])])
def test_rounding_per_line_and_per_order(rounding: TaxRounding, amounts: list[int]) -> None:
    # 10 % of 5 is 0.5 on each line, and 1.5 in all.
    lines = [goods(number, 5, tax_included=False) for number in (1, 2, 3)]
    quote = price_order(order(*lines, tax_rates=(vat("0.1"),), tax_rounding=rounding))

    assert [line.tax_minor for line in quote.lines] == amounts
    assert (quote.tax_minor, quote.total_minor) == (sum(amounts), 15 + sum(amounts))
    assert quote.rounding == f"half-up, tax per {rounding}"


def test_rounding_per_order_is_over_goods_and_delivery_alike() -> None:
    lines = [goods(1, 4, tax_included=False)]
    delivery = shipping(6, tax_included=False)
    quote = price_order(order(*lines, shipping=delivery, tax_rates=(vat("0.1"),), tax_rounding=TaxRounding.ORDER))

    # 0.4 and 0.6 make 1, and delivery has the larger remainder.
    assert quote.shipping is not None
    assert (quote.lines[0].tax_minor, quote.shipping.tax_minor, quote.total_minor) == (0, 1, 11)


def test_taxes_in_prices_of_one_unit_are_never_more_than_the_price() -> None:
    rates = tuple(TaxRate(name, Decimal("0.3")) for name in "abc")
    lines = [goods(number, 1) for number in range(1, 6)]
    quote = price_order(order(*lines, tax_rates=rates, tax_rounding=TaxRounding.ORDER))

    # 5 * 0.3 / 1.9 is 0.79 for each: three units on three different lines.
    assert [line.tax_minor for line in quote.lines] == [1, 1, 1, 0, 0]


def test_delivery_is_taxed_by_the_rates_that_say_so() -> None:
    quote = price_order(
        order(
            goods(1, 1000, tax_included=False, category="food"),
            shipping=shipping(500, tax_included=False),
            tax_rates=(STATE, COUNTY, TaxRate("Food", Decimal("0.5"), category="food")),
        )
    )

    assert quote.shipping is not None
    assert quote.shipping.taxes == (AppliedTax("County", "0.0125", 6),)
    assert (quote.shipping_minor, quote.shipping.tax_minor, quote.tax_minor) == (506, 6, 6 + 573)
    assert quote.total_minor == 1573 + 506


def test_a_region_that_does_not_tax_delivery_goes_before_its_country() -> None:
    rates = (vat("0.2"), vat("0.1", region="X", on_shipping=False))
    quote = price_order(order(goods(1, 1100), shipping=shipping(500), tax_rates=rates))

    assert quote.shipping is not None
    assert (quote.shipping.taxes, quote.tax_minor) == ((), 100)


def test_zero_rated_is_written_down_and_exempt_is_not() -> None:
    zero = price_order(order(goods(1, 1000), tax_rates=(vat("0"),)))
    exempt = price_order(order(goods(1, 1000), tax_rates=(vat("0.2", category="other"),)))

    assert (zero.lines[0].taxes, zero.total_minor) == ((AppliedTax("VAT", "0", 0),), 1000)
    assert (exempt.lines[0].taxes, exempt.total_minor) == ((), 1000)


@pytest.mark.parametrize("rounding", list(TaxRounding))
def test_reverse_charge_takes_the_tax_out_of_the_price(rounding: TaxRounding) -> None:
    quote = price_order(
        order(
            goods(1, 1200),
            shipping=shipping(600),
            tax_rates=(vat("0.20", reverse_charge=True),),
            tax_id="DE136695976",
            reverse_charged=True,
            tax_rounding=rounding,
        )
    )

    assert quote.lines[0].taxes == (AppliedTax("VAT", "0.2", 0),)
    assert quote.lines[0].discounts == (AppliedDiscount("Reverse charge: VAT", 200),)
    assert (quote.discount_minor, quote.tax_minor, quote.shipping_minor, quote.total_minor) == (300, 0, 500, 1500)
    assert quote.tax_id == "DE136695976"


@pytest.mark.parametrize(
    ("tax_id", "reversed_", "tax"), [(None, False, 200), ("DE136695976", False, 200), ("DE136695976", True, 0)]
)
def test_reverse_charge_on_top_is_not_added_when_the_buyer_accounts_for_it(
    tax_id: str | None, *, reversed_: bool, tax: int
) -> None:
    rates = (vat("0.20", reverse_charge=True),)
    quote = price_order(
        order(goods(1, 1000, tax_included=False), tax_rates=rates, tax_id=tax_id, reverse_charged=reversed_)
    )

    assert quote.lines[0].taxes == (AppliedTax("VAT", "0.2", tax),)
    assert (quote.discount_minor, quote.total_minor) == (0, 1000 + tax)


def test_taxes_of_the_upstream_stay_as_they_are() -> None:
    inside = goods(1, 1200, taxes=(GivenTax("VAT", Decimal("0.20"), 199),))
    on_top = goods(2, 1000, tax_included=False, taxes=(GivenTax("Sales tax", Decimal("0.0725"), 72),))
    quote = price_order(order(inside, on_top, tax_rates=(vat("0.5"),), tax_rounding=TaxRounding.ORDER))

    assert [line.taxes for line in quote.lines] == [
        (AppliedTax("VAT", "0.2", 199),),
        (AppliedTax("Sales tax", "0.0725", 72),),
    ]
    assert ([line.total_minor for line in quote.lines], quote.tax_minor) == ([1200, 1072], 271)


@pytest.mark.parametrize(
    ("rate", "text"), [("0.200000", "0.2"), ("2E-1", "0.2"), ("0", "0"), ("0.000", "0"), ("10", "10"), ("1E+1", "10")]
)
def test_a_rate_has_one_canonical_form(rate: str, text: str) -> None:
    assert write_rate(Decimal(rate)) == text


def test_of_two_equal_rates_the_one_that_is_charged_applies() -> None:
    charged, reversed_ = vat("0.19"), TaxRate("VAT", Decimal("0.19"), reverse_charge=True)

    assert choose_rates([charged, reversed_], None) == choose_rates([reversed_, charged], None) == (charged,)


def test_over_an_order_a_reversed_tax_is_rounded_apart_from_one_that_is_charged() -> None:
    # given two lines with a tax of 10.4: together 20.8, and the first would be rounded up
    rates = (vat("0.2"), TaxRate("VAT", Decimal("0.2"), category="books", reverse_charge=True))
    lines = (goods(1, 52, tax_included=False), goods(2, 52, tax_included=False, category="books"))

    quote = price_order(order(*lines, tax_rates=rates, tax_rounding=TaxRounding.ORDER, reverse_charged=True))

    # then the buyer pays what is charged, rounded for itself
    assert [line.tax_minor for line in quote.lines] == [10, 0]


def test_over_an_order_what_is_not_reversed_is_rounded_together() -> None:
    # given the same without a tax id
    rates = (vat("0.2"), TaxRate("VAT", Decimal("0.2"), category="books", reverse_charge=True))
    lines = (goods(1, 52, tax_included=False), goods(2, 52, tax_included=False, category="books"))

    quote = price_order(order(*lines, tax_rates=rates, tax_rounding=TaxRounding.ORDER))

    assert [line.tax_minor for line in quote.lines] == [11, 10]


@pytest.mark.parametrize("rounding", list(TaxRounding))
def test_what_the_upstream_has_taxed_moves_no_rounding_of_the_others(rounding: TaxRounding) -> None:
    # 20 % of 103 is 20.6. With what was given beside it, 20.6 or 20.8, it would be 41 in all, and one of them 20.
    given = (GivenTax("VAT", Decimal("0.2"), 20),)
    rates = (vat("0.2"),)
    beside_a_line = price_order(
        order(
            goods(1, 103, tax_included=False, taxes=given),
            goods(2, 103, tax_included=False),
            tax_rates=rates,
            tax_rounding=rounding,
        )
    )
    beside_delivery = price_order(
        order(
            goods(1, 103, tax_included=False),
            shipping=shipping(104, tax_included=False, taxes=given),
            tax_rates=rates,
            tax_rounding=rounding,
        )
    )

    assert [line.tax_minor for line in beside_a_line.lines] == [20, 21]
    assert [line.tax_minor for line in beside_delivery.lines] == [21]
    assert beside_delivery.shipping is not None
    assert beside_delivery.shipping.taxes == (AppliedTax("VAT", "0.2", 20),)
