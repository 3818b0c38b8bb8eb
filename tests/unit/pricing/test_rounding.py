"""A quote rounded down to what can be charged still adds up, and only down."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pricing.quote import hash_quote, price_order
from pipeline.pricing.rounding import TEXT, round_down
from pipeline.pricing.terms import AppliedDiscount, Order, Quote, QuoteLine, QuoteShipping
from tests.factories.orders import goods, order, percentage, shipping, vat
from tests.unit.pricing.oracle import orders


def assert_adds_up(quote: Quote) -> None:
    parts: list[QuoteLine | QuoteShipping] = [*quote.lines, *([] if quote.shipping is None else [quote.shipping])]
    for part in parts:
        assert part.discount_minor == sum(each.amount_minor for each in part.discounts)
        assert 0 <= part.discount_minor <= part.subtotal_minor
        on_top = 0 if part.tax_included else part.tax_minor
        assert part.total_minor == part.subtotal_minor - part.discount_minor + on_top
        assert part.tax_minor <= part.total_minor
    assert quote.shipping_minor == (0 if quote.shipping is None else quote.shipping.total_minor)
    assert quote.total_minor == sum(part.total_minor for part in parts)
    assert quote.discount_minor == sum(part.discount_minor for part in parts)
    assert quote.tax_minor == sum(part.tax_minor for part in parts)


def test_the_largest_line_is_rounded() -> None:
    given_order = order(goods(1, 1001), goods(2, 2003, tax_included=False), currency="KWD", tax_rates=(vat("0.1"),))
    quote = price_order(given_order)
    assert quote.total_minor == 1001 + 2003 + 200
    rounded = round_down(quote, 4)
    assert rounded is not None
    assert [line.total_minor for line in rounded.lines] == [1001, 2199]
    assert rounded.lines[1].discounts == (AppliedDiscount(TEXT, 4),)
    assert (rounded.total_minor, rounded.discount_minor, rounded.tax_minor) == (3200, 4, quote.tax_minor)
    assert hash_quote(rounded) != hash_quote(quote)


def test_of_goods_given_away_delivery_is_rounded() -> None:
    quote = price_order(order(goods(1, 500), shipping=shipping(1007), promotions=(percentage(1, "100"),)))
    rounded = round_down(quote, 7)
    assert rounded is not None
    assert rounded.shipping is not None
    assert (rounded.total_minor, rounded.shipping_minor, rounded.shipping.discount_minor) == (1000, 1000, 7)
    assert_adds_up(rounded)


def test_several_small_lines_are_rounded_together() -> None:
    quote = price_order(order(goods(1, 5), goods(2, 6), goods(3, 4)))
    rounded = round_down(quote, 9)
    assert rounded is not None
    assert [line.total_minor for line in rounded.lines] == [2, 0, 4]
    assert_adds_up(rounded)


def test_tax_is_not_rounded_away() -> None:
    # All that is left of the price is its tax.
    quote = price_order(order(goods(1, 10), tax_rates=(vat("9"),)))
    assert quote.tax_minor == 9
    assert round_down(quote, 2) is None
    assert round_down(price_order(order()), 1) is None


@pytest.mark.slow
@settings(max_examples=200)
@given(orders(), st.sampled_from([5, 10, 100]))
def test_a_rounded_quote_adds_up(given_order: Order, step: int) -> None:
    quote = price_order(given_order)
    rest = quote.total_minor % step
    rounded = round_down(quote, rest)
    if rounded is not None:
        assert rounded.total_minor == quote.total_minor - rest
        assert rounded.total_minor % step == 0
        assert_adds_up(rounded)
        assert [line.taxes for line in rounded.lines] == [line.taxes for line in quote.lines]
