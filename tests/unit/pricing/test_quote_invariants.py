"""What is true of every quote."""

from dataclasses import replace
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pricing.quote import hash_quote, price_order
from pipeline.pricing.terms import Order, QuoteLine, QuoteShipping
from tests.unit.pricing.oracle import CURRENCIES, expect_exact, find_parts, orders, read_amounts

pytestmark = pytest.mark.slow


@settings(max_examples=400)
@given(orders())
def test_everything_adds_up_and_nothing_is_negative(order: Order) -> None:
    quote = price_order(order)
    parts: list[QuoteLine | QuoteShipping] = [*quote.lines]
    parts += [] if quote.shipping is None else [quote.shipping]

    for part in parts:
        on_top = 0 if part.tax_included else part.tax_minor
        assert part.total_minor == part.subtotal_minor - part.discount_minor + on_top
        assert part.discount_minor == sum(each.amount_minor for each in part.discounts) <= part.subtotal_minor
        assert part.tax_minor == sum(each.amount_minor for each in part.taxes)
        assert part.tax_minor <= part.total_minor
        assert all(each.amount_minor >= 0 for each in part.discounts)
        assert all(each.amount_minor >= 0 for each in part.taxes)
    assert all(line.subtotal_minor == line.quantity * line.unit_price_minor for line in quote.lines)
    assert quote.subtotal_minor == sum(line.subtotal_minor for line in quote.lines)
    assert quote.discount_minor == sum(part.discount_minor for part in parts)
    assert quote.tax_minor == sum(part.tax_minor for part in parts)
    assert quote.total_minor == sum(line.total_minor for line in quote.lines) + quote.shipping_minor >= 0
    assert quote.shipping_minor == (0 if quote.shipping is None else quote.shipping.total_minor)


@settings(max_examples=300)
@given(orders())
def test_the_whole_tax_is_near_the_exact_tax(order: Order) -> None:
    parts = find_parts(order)
    exact = [each for part in parts for each in expect_exact(part).values()]
    amounts = [each for part in parts for each in read_amounts(order, part).values()]
    if len(amounts) < len(exact):  # some are not charged on top, and so not known
        return
    assert floor(sum(exact)) - len(exact) <= sum(amounts) <= ceil(sum(exact)) + len(exact)


@settings(max_examples=300)
@given(st.data(), orders())
def test_the_order_in_which_anything_is_given_is_irrelevant(data: st.DataObject, order: Order) -> None:
    shuffled = replace(
        order,
        goods=tuple(data.draw(st.permutations(order.goods))),
        promotions=tuple(data.draw(st.permutations(order.promotions))),
        tax_rates=tuple(data.draw(st.permutations(order.tax_rates))),
    )

    assert price_order(shuffled) == price_order(order)
    assert hash_quote(price_order(shuffled)) == hash_quote(price_order(order))


@settings(max_examples=300)
@given(st.data(), orders())
def test_hashes_are_equal_if_and_only_if_quotes_are(data: st.DataObject, order: Order) -> None:
    changes = [
        replace(order, currency=data.draw(st.sampled_from(CURRENCIES))),
        replace(order, promotions=order.promotions[1:]),
        replace(order, tax_rates=order.tax_rates[1:]),
        replace(order, goods=order.goods[1:]),
        replace(order, shipping=None),
    ]
    quote, other = price_order(order), price_order(data.draw(st.sampled_from(changes)))

    assert (hash_quote(quote) == hash_quote(other)) == (quote == other)
