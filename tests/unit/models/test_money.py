"""Money is whole minor units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money import MAX_MINOR, Money, minor_digits, parse_amount, parse_amounts


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("EUR", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4), ("XAU", None), ("XXX", None), ("eur", None), ("", None)],
)
def test_currencies_have_their_own_digits(currency: str, digits: int | None) -> None:
    assert minor_digits(currency) == digits


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("2.55", "EUR", 255),
        ("2.5", "EUR", 250),
        ("2", "EUR", 200),
        ("2.", "EUR", 200),
        (" 2.50 ", "EUR", 250),
        ("2.5500", "EUR", 255),
        ("-0.01", "EUR", -1),
        ("1200", "JPY", 1200),
        ("1200.0", "JPY", 1200),
        ("1.234", "BHD", 1234),
        ("0.29", "EUR", 29),
        ("999999999999999999", "JPY", 10**18 - 1),
    ],
)
def test_amounts_are_read_exactly(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("2.555", "EUR"),
        ("1.5", "JPY"),
        ("", "EUR"),
        ("abc", "EUR"),
        ("1,50", "EUR"),
        ("1e3", "EUR"),
        ("+1", "EUR"),
        (".5", "EUR"),
        ("NaN", "EUR"),
        ("١٢", "EUR"),
        ("1" * 19, "EUR"),
        ("1.00", "ZZZ"),
    ],
)
def test_what_is_no_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"amount|minor unit"):
        parse_amount(text, currency)


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.sampled_from(["EUR", "JPY", "BHD", "CLF"]))
def test_what_is_shown_reads_back(minor: int, currency: str) -> None:
    shown = str(Money(minor, currency))

    assert parse_amount(shown.removesuffix(f" {currency}"), currency) == Money(minor, currency)


def test_amounts_of_one_currency_add_up() -> None:
    assert Money(1, "EUR") + Money(2, "EUR") == Money(3, "EUR")
    with pytest.raises(ValueError, match="EUR and USD do not add up"):
        _ = Money(1, "EUR") + Money(2, "USD")


def test_the_largest_amount_is_a_bigint() -> None:
    assert MAX_MINOR == 9223372036854775807
    assert str(Money(1234, "EUR")) == "12.34 EUR"
    assert str(Money(-5, "EUR")) == "-0.05 EUR"


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("", {}),
        (" , ", {}),
        ("EUR:5000", {"EUR": 5000}),
        (" EUR : 5000, JPY:0 ,", {"EUR": 5000, "JPY": 0}),
        (f"IDR:{MAX_MINOR}", {"IDR": MAX_MINOR}),
    ],
)
def test_amounts_by_currency_are_read(text: str, amounts: dict[str, int]) -> None:
    assert parse_amounts(text) == amounts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5000", "'5000' is not an ISO 4217 currency"),
        ("EURO:5000", "'EURO' is not an ISO 4217 currency"),
        ("eur:5000", "'eur' is not an ISO 4217 currency"),
        ("XAU:1", "'XAU' is not an ISO 4217 currency"),
        ("EUR", "'' is not a whole number of minor units of EUR"),
        ("EUR:-1", "'-1' is not a whole number"),
        ("EUR:5.00", "'5.00' is not a whole number"),
        ("EUR:\u0665", "is not a whole number"),
        (f"EUR:{MAX_MINOR + 1}", "is not a whole number"),
        ("EUR:" + "9" * 5000, "is not a whole number"),
        ("EUR:1,EUR:2", "EUR stands there twice"),
    ],
)
def test_amounts_that_cannot_be_read_say_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_amounts(text)
