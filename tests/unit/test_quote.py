"""From a basket to a quote."""

from dataclasses import replace
from uuid import UUID

import pytest

from pipeline.baskets import Basket, Line
from pipeline.pricing.quote import QuoteLine, price_basket

CUP = Line(1, "cup", 2, "The cup", 10, active=True, unit_price_minor=None, line_currency=None, list_price_minor=250)
POT = Line(2, "pot", 3, None, 20, active=True, unit_price_minor=99, line_currency="EUR", list_price_minor=None)
ADDRESS = {"name": "Ada", "country": "GB"}


def basket(*lines: Line) -> Basket:
    return Basket(UUID(int=1), "EUR", dict(ADDRESS), None, list(lines))


def test_a_quote_is_the_sum_of_its_lines() -> None:
    quote = price_basket(basket(CUP, POT))

    assert quote.lines == (
        QuoteLine(1, 10, "cup", "The cup", 2, 250, 500, "list"),
        QuoteLine(2, 20, "pot", "pot", 3, 99, 297, "external"),
    )
    assert (quote.total_minor, quote.currency, quote.shipping_address) == (797, "EUR", ADDRESS)


def test_an_external_price_goes_before_the_list_price_even_if_it_is_zero() -> None:
    line = replace(CUP, unit_price_minor=0)

    assert (line.price_minor, line.price_source) == (0, "external")
    assert price_basket(basket(line)).total_minor == 0


@pytest.mark.parametrize("line", [replace(CUP, variant_id=None), replace(CUP, list_price_minor=None)])
def test_a_basket_that_was_not_validated_is_a_programming_error(line: Line) -> None:
    with pytest.raises(ValueError, match="line 1 of cart 00000000-0000-0000-0000-000000000001 was not validated"):
        price_basket(basket(line))


def test_equal_quotes_have_equal_hashes_and_any_other_has_another() -> None:
    quote = price_basket(basket(CUP, POT))
    others = [
        replace(quote, currency="USD"),
        replace(quote, total_minor=798),
        replace(quote, lines=quote.lines[:1]),
        replace(quote, lines=tuple(reversed(quote.lines))),
        replace(quote, lines=(replace(quote.lines[0], price_source="external"), quote.lines[1])),
        replace(quote, shipping_address={**ADDRESS, "country": "DE"}),
        replace(quote, billing_address={}),
    ]

    assert quote.hash == price_basket(basket(CUP, POT)).hash
    assert len({quote.hash, *(other.hash for other in others)}) == 1 + len(others)
    assert replace(quote, shipping_address={"country": "GB", "name": "Ada"}).hash == quote.hash
