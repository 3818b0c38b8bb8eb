"""From an order to a quote."""

import time
from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.pricing.quote import hash_quote, price_order
from pipeline.pricing.terms import AppliedDiscount, AppliedTax, Quote, QuoteLine, QuoteShipping
from tests.factories.orders import exchange, free_shipping, goods, order, percentage, shipping, vat

ADDRESS = {"name": "Ada", "country": "GB", "at": {"lat": 51.5, "lon": 0.0}}
CUP = goods(1, 250, 2, sku="cup", title="The cup")
POT = goods(2, 99, 3, sku="pot", title="pot", price_source="external")


def quoted() -> Quote:
    return price_order(
        order(
            CUP,
            POT,
            shipping=shipping(490),
            promotions=(percentage(1, "10"),),
            tax_rates=(vat("0.20"),),
            exchange=exchange("USD", "EUR", "0.9500"),
            shipping_address=ADDRESS,
        )
    )


def test_a_quote_is_the_sum_of_its_lines() -> None:
    quote = price_order(order(CUP, POT, shipping_address=ADDRESS, billing_address={"name": "Bob"}))

    assert quote.lines == (
        QuoteLine(1, 1, "cup", "The cup", 2, 250, "list", True, 500, 0, 0, 500, (), ()),  # noqa: FBT003 - as it is stored
        QuoteLine(2, 2, "pot", "pot", 3, 99, "external", True, 297, 0, 0, 297, (), ()),  # noqa: FBT003 - as it is stored
    )
    assert (quote.subtotal_minor, quote.shipping_minor, quote.total_minor, quote.currency) == (797, 0, 797, "EUR")
    assert (quote.shipping, quote.base_currency, quote.exchange_rate, quote.shipping_address) == (
        None,
        None,
        None,
        ADDRESS,
    )
    assert quote.billing_address == {"name": "Bob"}


def test_delivery_discounts_and_taxes_add_up() -> None:
    quote = quoted()

    assert [line.total_minor for line in quote.lines] == [450, 267]
    assert (quote.subtotal_minor, quote.discount_minor, quote.shipping_minor) == (797, 80, 490)
    assert (quote.tax_minor, quote.total_minor) == (75 + 45 + 82, 1207)


def test_an_exchange_rate_is_frozen_with_its_source_and_time() -> None:
    quote = quoted()

    assert (quote.base_currency, quote.exchange_rate) == ("USD", "0.95")
    assert (quote.exchange_source, quote.exchange_at) == ("ECB", "2026-11-23T15:00:00+00:00")


def test_the_time_of_an_exchange_rate_is_in_utc_wherever_this_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert quoted().exchange_at == "2026-11-23T15:00:00+00:00"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_delivery_has_its_own_amounts_beside_several_lines() -> None:
    delivery = shipping(1200, title="Courier")
    quote = price_order(order(CUP, POT, shipping=delivery, promotions=(free_shipping(1),), tax_rates=(vat("0.2"),)))

    assert [line.tax_minor for line in quote.lines] == [83, 50]
    assert quote.shipping == QuoteShipping(
        title="Courier",
        tax_included=True,
        subtotal_minor=1200,
        discount_minor=1200,
        tax_minor=0,
        total_minor=0,
        discounts=(AppliedDiscount("Free delivery", 1200, 1),),
        taxes=(AppliedTax("VAT", "0.2", 0),),
    )


def test_nothing_to_sell_costs_nothing() -> None:
    quote = price_order(order())

    assert (quote.lines, quote.total_minor) == ((), 0)


def test_two_lines_of_one_number_are_a_programming_error() -> None:
    with pytest.raises(ValueError, match=r"^two lines have one number$"):
        price_order(order(CUP, CUP))


def test_equal_quotes_have_equal_hashes_and_any_other_has_another() -> None:
    quote = quoted()
    assert quote.shipping is not None
    line, pot = quote.lines
    others = [
        replace(quote, currency="USD"),
        replace(quote, total_minor=quote.total_minor + 1),
        replace(quote, lines=quote.lines[:1]),
        replace(quote, lines=(replace(line, price_source="external"), pot)),
        replace(quote, lines=(replace(line, title="Another cup"), pot)),
        replace(quote, lines=(replace(line, discounts=()), pot)),
        replace(quote, lines=(replace(line, taxes=(replace(line.taxes[0], rate="0.19"),)), pot)),
        replace(quote, shipping=None),
        replace(quote, shipping=replace(quote.shipping, title="Courier")),
        replace(quote, exchange_rate="0.96"),
        replace(quote, tax_id="DE136695976"),
        replace(quote, tax_id="DE136695976", tax_id_validated={"source": "VIES", "at": "2026-11-28T15:00:00Z"}),
        replace(quote, rounding="half-up, tax per order"),
        replace(quote, shipping_address={**ADDRESS, "country": "DE"}),
        replace(quote, shipping_address={**ADDRESS, "at": {"lat": 51.25, "lon": 0.0}}),
        replace(quote, shipping_address={**ADDRESS, "lines": ["1", "2"]}),
        replace(quote, shipping_address={**ADDRESS, "lines": ["1", "3"]}),
        replace(quote, billing_address={}),
    ]

    assert hash_quote(quote) == hash_quote(quoted())
    assert len({hash_quote(each) for each in (quote, *others)}) == 1 + len(others)


def test_a_hash_does_not_depend_on_how_a_quote_is_written_down() -> None:
    quote = quoted()
    address = {"at": {"lon": 0, "lat": 51.5}, "country": "GB", "name": "Ada"}

    assert hash_quote(replace(quote, shipping_address=address)) == hash_quote(quote)
    assert hash_quote(replace(quote, lines=quote.lines[::-1])) == hash_quote(quote)
    rewritten = price_order(order(CUP, tax_rates=(vat("0.200000"),)))
    assert hash_quote(rewritten) == hash_quote(price_order(order(CUP, tax_rates=(vat("0.2"),))))


def test_what_is_no_number_has_no_hash() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        hash_quote(replace(quoted(), shipping_address={"lat": float("nan")}))


def test_a_hash_is_the_same_for_ever() -> None:
    quote = price_order(order(CUP, tax_rates=(vat("0.2"),), tax_id="é"))

    assert hash_quote(quote) == "f5d44896721785b358380f724a24936ca5d1fbc463bb2c4406bcfa6bd949b6e8"


def test_large_amounts_are_exact() -> None:
    quote = price_order(order(goods(1, 10**15 + 1, 1000), tax_rates=(vat("0.2"),)))

    assert quote.total_minor == 10**18 + 1000
    assert quote.tax_minor == 166_666_666_666_666_833  # and a third
    assert Decimal(quote.lines[0].taxes[0].rate) == Decimal("0.2")
