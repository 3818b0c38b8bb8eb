"""Stripe's smallest units: the exceptions of its currencies page, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money import Money, minor_digits
from pipeline.gateways.stripe.amounts import from_stripe, to_stripe

WHOLE = ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
THOUSANDTHS = ["BHD", "JOD", "KWD", "OMR", "TND"]


@pytest.mark.parametrize("currency", ["EUR", "USD", "GBP", "HUF", "TWD"])
def test_two_decimals_are_the_same_for_both(currency: str) -> None:
    # HUF and TWD are whole only in payouts: their charges have decimals.
    assert to_stripe(Money(1050, currency)) == 1050
    assert from_stripe(1050, currency.lower()) == Money(1050, currency)


@pytest.mark.parametrize("currency", WHOLE)
def test_whole_units_are_the_same_for_both(currency: str) -> None:
    assert minor_digits(currency) == 0
    assert to_stripe(Money(500, currency)) == 500
    assert from_stripe(500, currency.lower()) == Money(500, currency)


@pytest.mark.parametrize("currency", ["ISK", "UGX"])
def test_units_that_lost_their_decimals_are_still_written_with_two(currency: str) -> None:
    # 5 is 500, or a hundredth would be charged.
    assert minor_digits(currency) == 0
    assert to_stripe(Money(5, currency)) == 500
    assert from_stripe(500, currency.lower()) == Money(5, currency)


def test_whole_ariary_are_charged_and_parts_are_not() -> None:
    # ISO 4217 gives MGA two digits, Stripe none.
    assert minor_digits("MGA") == 2
    assert to_stripe(Money(1200, "MGA")) == 12
    assert from_stripe(12, "mga") == Money(1200, "MGA")
    assert to_stripe(Money(1250, "MGA")) is None


@pytest.mark.parametrize("currency", THOUSANDTHS)
def test_of_three_decimals_the_last_is_zero(currency: str) -> None:
    assert minor_digits(currency) == 3
    assert to_stripe(Money(5120, currency)) == 5120
    assert from_stripe(5120, currency.lower()) == Money(5120, currency)
    # Never rounded: what is charged is the order's total.
    assert to_stripe(Money(5124, currency)) is None


@pytest.mark.parametrize("currency", ["IQD", "LYD", "CLF", "UYI", "XAU", "ZZZ", ""])
def test_what_stripe_cannot_charge_is_refused(currency: str) -> None:
    assert to_stripe(Money(1000, currency)) is None


@pytest.mark.parametrize("minor", [0, -1, -500])
def test_nothing_and_less_is_not_charged(minor: int) -> None:
    assert to_stripe(Money(minor, "EUR")) is None


def test_amounts_of_others_can_be_shown_whatever_their_currency() -> None:
    # The ledger also holds intents of other systems.
    assert from_stripe(1234, "zzz") == Money(1234, "ZZZ")


@given(
    minor=st.integers(min_value=1, max_value=10**15),
    currency=st.sampled_from(["EUR", "ISK", "UGX", "MGA", "JPY", "KWD", "HUF"]),
)
def test_what_is_charged_comes_back_exactly(minor: int, currency: str) -> None:
    amount = to_stripe(Money(minor, currency))
    if amount is not None:
        assert from_stripe(amount, currency.lower()) == Money(minor, currency)
