"""What each promotion takes off, and which of several are used."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from models.states import PromotionKind
from pipeline.pricing.promotions import KINDS
from pipeline.pricing.quote import price_order
from pipeline.pricing.terms import AppliedDiscount, GivenDiscount, GivenTax, Goods, Promotion, Shipping
from tests.factories.orders import amount_off, exchange, free_shipping, goods, order, percentage, shipping


def discounts(*lines: Goods, promotions: tuple[Promotion, ...], delivery: Shipping | None = None) -> list[int]:
    """Return what is taken off each line, and off delivery if there is any."""
    quote = price_order(order(*lines, promotions=promotions, shipping=delivery))
    return [
        *(line.discount_minor for line in quote.lines),
        *([] if quote.shipping is None else [quote.shipping.discount_minor]),
    ]


def test_every_kind_has_its_function() -> None:
    assert set(KINDS) == set(PromotionKind)


def test_a_percentage_is_rounded_once_over_all_lines() -> None:
    # 10 % of 15 is 1.5, so 2; each line alone would have given 1, and 3 in all.
    assert discounts(goods(1, 5), goods(2, 5), goods(3, 5), promotions=(percentage(1, "10"),)) == [1, 1, 0]


def test_a_discount_says_where_it_comes_from() -> None:
    quote = price_order(order(goods(1, 1000), promotions=(percentage(7, "10", code="TEN"),)))

    assert quote.lines[0].discounts == (AppliedDiscount("10 % off", 100, 7, "TEN"),)
    assert (quote.subtotal_minor, quote.discount_minor, quote.total_minor) == (1000, 100, 900)


@pytest.mark.parametrize(("percent", "left"), [("0", 333), ("33.3333", 222), ("99.9", 0), ("100", 0)])
def test_percentages_of_every_size(percent: str, left: int) -> None:
    assert price_order(order(goods(1, 333), promotions=(percentage(1, percent),))).total_minor == left


def test_an_amount_is_shared_and_never_more_than_what_is_left() -> None:
    lines = (goods(1, 300), goods(2, 700))

    assert discounts(*lines, promotions=(amount_off(1, 55),)) == [17, 38]
    assert discounts(*lines, promotions=(amount_off(1, 5000),)) == [300, 700]


def test_an_amount_in_another_currency_is_not_used() -> None:
    alone = amount_off(1, 100, currency="USD", combines=False)

    assert discounts(goods(1, 1000), promotions=(alone, percentage(2, "10"))) == [100]


def test_free_shipping_takes_all_of_delivery_and_no_goods() -> None:
    assert discounts(goods(1, 1000), promotions=(free_shipping(1),), delivery=shipping(490)) == [0, 490]
    assert discounts(goods(1, 1000), promotions=(free_shipping(1),)) == [0]


def test_delivery_is_given_away_once() -> None:
    quote = price_order(order(goods(1, 1000), promotions=(free_shipping(1), free_shipping(2)), shipping=shipping(490)))

    assert quote.shipping is not None
    assert [(each.promotion_id, each.amount_minor) for each in quote.shipping.discounts] == [(1, 490)]
    assert quote.total_minor == 1000


def test_a_promotion_is_for_lines_that_match_its_skus_or_its_categories() -> None:
    lines = (goods(1, 100), goods(2, 100, category="books"), goods(3, 100, category="food"))
    some = percentage(1, "50", skus=frozenset({"sku-1"}), categories=frozenset({"books"}))

    assert discounts(*lines, promotions=(some,)) == [50, 50, 0]
    assert discounts(lines[2], promotions=(some,)) == [0]


def test_free_shipping_for_some_lines_needs_one_of_them() -> None:
    some = free_shipping(1, skus=frozenset({"sku-2"}))

    assert discounts(goods(1, 100), promotions=(some,), delivery=shipping(490)) == [0, 0]
    assert discounts(goods(2, 100), promotions=(some,), delivery=shipping(490)) == [0, 490]


@pytest.mark.parametrize(("minimum", "cut"), [(1000, 100), (1001, 0)])
def test_a_minimum_is_compared_with_the_goods_before_any_discount(minimum: int, cut: int) -> None:
    first = amount_off(1, 500)
    second = percentage(2, "20", minimum_minor=minimum)

    assert discounts(goods(1, 1000), promotions=(first, second), delivery=shipping(900)) == [500 + cut, 0]


@pytest.mark.parametrize(
    ("minimum", "currency", "cut"),
    [
        # 9.09 USD are 9.999 EUR and 9.10 USD are 10.01; 1600 JPY are 10.00 EUR, over the euro or not.
        (909, "USD", 100),
        (910, "USD", 0),
        (1600, "JPY", 100),
        (1601, "JPY", 0),
    ],
)
def test_a_minimum_in_another_currency_is_converted_and_not_rounded(minimum: int, currency: str, cut: int) -> None:
    rates = (exchange("USD", "EUR", "1.1"), exchange("EUR", "JPY", "160"))
    given = order(goods(1, 1000), promotions=(percentage(1, "10", minimum_minor=minimum, currency=currency),))

    assert price_order(replace(given, rates=rates)).discount_minor == cut
    # Without a rate it is unknown whether it is reached.
    assert price_order(given).discount_minor == 0


def test_a_promotion_is_used_once() -> None:
    # As one that applies by itself it leaves the coupon its use; the order in which they are given means nothing.
    itself = percentage(1, "10")
    brought = (percentage(1, "10", code="A"), percentage(1, "10", code="B"))

    for promotions in ((itself, brought[0]), (brought[0], itself), (*brought, itself), (itself, *reversed(brought))):
        quote = price_order(order(goods(1, 1000), promotions=promotions))
        assert quote.lines[0].discounts == (AppliedDiscount("10 % off", 100, 1, "A"),)
    assert discounts(goods(1, 1000), promotions=(amount_off(1, 300), amount_off(1, 300, code="A"))) == [300]


def test_a_currency_without_a_minimum_is_that_of_an_amount_only() -> None:
    assert discounts(goods(1, 1000), promotions=(percentage(1, "10", currency="USD"),)) == [100]


def test_promotions_go_by_priority_and_then_by_id() -> None:
    tenth, fixed = percentage(1, "10"), amount_off(2, 500)

    assert discounts(goods(1, 1000), promotions=(fixed, tenth)) == [600]
    assert discounts(goods(1, 1000), promotions=(tenth, replace(fixed, priority=1))) == [550]


def test_one_that_does_not_combine_is_used_alone() -> None:
    alone = percentage(2, "20", combines=False)

    assert discounts(goods(1, 1000), promotions=(alone, amount_off(3, 100))) == [200]
    assert discounts(goods(1, 1000), promotions=(amount_off(1, 100), alone, percentage(3, "10"))) == [190]


def test_one_that_took_nothing_stands_in_nobodys_way() -> None:
    unused = percentage(1, "50", skus=frozenset({"other"}), combines=False)

    assert discounts(goods(1, 1000), promotions=(unused, percentage(2, "10", combines=False))) == [100]
    assert discounts(goods(1, 1000), promotions=(free_shipping(1, combines=False), percentage(2, "10"))) == [100]


@pytest.mark.parametrize(
    "given",
    [
        {"discounts": ()},
        {"discounts": (GivenDiscount("Friend", 30),)},
        {"taxes": (GivenTax("VAT", Decimal("0"), 0),)},
    ],
)
def test_a_line_that_the_upstream_priced_takes_no_part_but_counts_for_the_minimum(
    given: dict[str, Any],
) -> None:
    lines = (goods(1, 900, **given), goods(2, 100))
    own = sum(each.amount_minor for each in given.get("discounts", ()))

    assert discounts(*lines, promotions=(amount_off(1, 500, minimum_minor=1000),)) == [own, 100]


def test_delivery_that_the_upstream_taxed_stays_as_it_is() -> None:
    taxed = shipping(120, taxes=(GivenTax("VAT", Decimal("0.20"), 20),))

    assert discounts(goods(1, 100), promotions=(free_shipping(1),), delivery=taxed) == [0, 0]


@pytest.mark.parametrize("kind", [PromotionKind.PERCENTAGE, PromotionKind.FIXED_AMOUNT])
def test_a_promotion_without_its_figure_is_a_programming_error(kind: PromotionKind) -> None:
    with pytest.raises(ValueError, match="promotion 1 is"):
        discounts(goods(1, 100), promotions=(Promotion(1, "?", kind),))
