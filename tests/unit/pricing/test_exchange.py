"""Amounts from one currency to another."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money import Money
from pipeline.pricing.exchange import convert, convert_exactly, convert_price, cross
from tests.factories.orders import exchange


@pytest.mark.parametrize(
    ("amount", "base", "quote", "rate", "converted"),
    [
        (1000, "EUR", "USD", "1.0512", 1051),
        (1000, "EUR", "JPY", "163.25", 1633),
        (1999, "EUR", "BHD", "0.39631", 7922),
        (500, "JPY", "EUR", "0.0061", 305),
        (1234, "BHD", "JPY", "410.5", 507),
        (0, "EUR", "USD", "1.0512", 0),
        (1, "EUR", "USD", "0.5", 1),
        (1, "EUR", "USD", "0.4999999999", 0),
        (10**17, "EUR", "USD", "1.0000000001", 10**17 + 10**7),
    ],
)
def test_amounts_are_converted_with_the_digits_of_both(
    amount: int, base: str, quote: str, rate: str, converted: int
) -> None:
    assert convert(amount, exchange(base, quote, rate)) == converted


@pytest.mark.parametrize(
    ("price", "base", "quote", "rate", "converted"),
    [
        (190, "HUF", "EUR", "0.00261780104712", None),
        (192, "HUF", "EUR", "0.00261780104712", 1),
        (1, "EUR", "KRW", "49", None),
        (1, "EUR", "KRW", "50", 1),
        (4, "BHD", "EUR", "1.2", None),
        (5, "BHD", "EUR", "1.2", 1),
        (0, "HUF", "EUR", "0.0026", 0),
    ],
)
def test_a_price_never_becomes_nothing(price: int, base: str, quote: str, rate: str, converted: int | None) -> None:
    assert convert_price(price, exchange(base, quote, rate)) == converted


@given(
    price=st.integers(min_value=0, max_value=10**12),
    rate=st.decimals(min_value="0.0000000001", max_value="100000", places=10),
    pair=st.sampled_from([("EUR", "JPY"), ("HUF", "EUR"), ("KWD", "KRW"), ("JPY", "BHD"), ("IDR", "USD")]),
)
def test_a_converted_price_is_nothing_only_if_it_was(price: int, rate: Decimal, pair: tuple[str, str]) -> None:
    given_rate = exchange(*pair, str(rate))
    exact = convert_exactly(Money(price, pair[0]), pair[1], [given_rate])
    assert exact is not None
    converted = convert_price(price, given_rate)
    if converted is None:
        assert 0 < exact < Fraction(1, 2)
    else:
        assert (converted == 0) == (price == 0)
        assert abs(converted - exact) <= Fraction(1, 2)


@pytest.mark.parametrize(("base", "quote"), [("EUR", "XAU"), ("ZZZ", "EUR")])
def test_a_currency_without_minor_units_is_not_converted(base: str, quote: str) -> None:
    with pytest.raises(ValueError, match="is not an ISO 4217 currency with a minor unit"):
        convert(100, exchange(base, quote, "2"))


def test_a_negative_amount_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="-1 is negative"):
        convert(-1, exchange("EUR", "USD", "2"))


def test_a_published_rate_is_used_as_it_is() -> None:
    rates = [exchange("EUR", "USD", "1.25"), exchange("USD", "JPY", "150")]

    assert cross("EUR", "USD", rates) == rates[0]
    assert cross("USD", "JPY", rates) == rates[1]


def test_other_rates_go_over_the_euro_and_are_as_old_as_the_older() -> None:
    rates = [exchange("EUR", "USD", "1.25"), exchange("EUR", "JPY", "160", day=20)]

    assert cross("USD", "JPY", rates) == exchange("USD", "JPY", "128", day=20)
    assert cross("JPY", "EUR", rates) == exchange("JPY", "EUR", "0.00625", day=20)


def test_a_computed_rate_has_sixteen_digits_and_names_both_sources() -> None:
    rate = cross("USD", "GBP", [exchange("EUR", "USD", "3"), exchange("EUR", "GBP", "1", source="bank")])

    assert rate is not None
    assert (rate.rate, rate.source) == (Decimal("0.3333333333333333"), "ECB, bank")


@pytest.mark.parametrize(("base", "quote"), [("USD", "CHF"), ("CHF", "EUR"), ("EUR", "CHF"), ("EUR", "EUR")])
def test_without_a_rate_there_is_none(base: str, quote: str) -> None:
    assert cross(base, quote, [exchange("EUR", "USD", "1.25")]) is None
