"""What Stripe charges in each currency: steps, the least and the most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money import Money
from pipeline.gateways.gateway import NotChargeable
from pipeline.gateways.stripe.amounts import find_chargeable, to_stripe


@pytest.mark.parametrize(
    ("minor", "currency", "charge"),
    [
        (1234, "EUR", 1234),
        (50, "EUR", 50),
        (30, "GBP", 30),
        (500, "JPY", 500),
        # Three decimals, of which the last is zero: down, never up.
        (5124, "KWD", 5120),
        (5129, "BHD", 5120),
        (5120, "JOD", 5120),
        (10, "OMR", 10),
        (19, "TND", 10),
        # Whole ariary; ISO 4217 counts a hundred parts.
        (1299, "MGA", 1200),
        # Without decimals, and written with two at Stripe.
        (7, "ISK", 7),
        (999_999, "UGX", 999_999),
        # Decimals are charged here: only payouts are whole.
        (17501, "HUF", 17501),
        (1050, "TWD", 1050),
        (99_999_999, "USD", 99_999_999),
        # 1,000,000.00 and the most there is.
        (100_000_000, "IDR", 100_000_000),
        (999_999_999_999, "IDR", 999_999_999_999),
        (99_999_990, "KWD", 99_999_990),
    ],
)
def test_an_amount_is_charged_or_the_next_lower_one(minor: int, currency: str, charge: int) -> None:
    assert find_chargeable(Money(minor, currency)) == Money(charge, currency)


@pytest.mark.parametrize(
    ("minor", "currency", "reason"),
    [
        (49, "USD", "Stripe takes 0.50 USD and more: add something to the cart"),
        (17499, "HUF", "Stripe takes 175.00 HUF and more: add something to the cart"),
        (49, "JPY", "Stripe takes 50 JPY and more: add something to the cart"),
        (9, "KWD", "Stripe takes 0.010 KWD and more: add something to the cart"),
        (99, "MGA", "Stripe takes 1.00 MGA and more: add something to the cart"),
        (0, "EUR", "Stripe takes 0.50 EUR and more: add something to the cart"),
        (-5, "EUR", "Stripe takes 0.50 EUR and more: add something to the cart"),
        (100_000_000, "EUR", "Stripe takes 999999.99 EUR at most: split the cart"),
        (100_000_000, "KWD", "Stripe takes 99999.990 KWD at most: split the cart"),
        (1_000_000, "ISK", "Stripe takes 999999 ISK at most: split the cart"),
        (10**12, "IDR", "Stripe takes 9999999999.99 IDR at most: split the cart"),
        (1000, "IQD", "Stripe takes no IQD: use another currency"),
        (1000, "CLF", "Stripe takes no CLF: use another currency"),
    ],
)
def test_what_is_not_charged_says_what_to_do(minor: int, currency: str, reason: str) -> None:
    assert find_chargeable(Money(minor, currency)) == NotChargeable(reason)


@given(
    minor=st.integers(min_value=-10, max_value=10**14),
    currency=st.sampled_from(["EUR", "KWD", "BHD", "TND", "MGA", "ISK", "JPY", "HUF", "IDR", "CLF", "THB"]),
)
def test_what_can_be_charged_has_an_amount_at_stripe(minor: int, currency: str) -> None:
    charge = find_chargeable(Money(minor, currency))
    if isinstance(charge, Money):
        assert to_stripe(charge) is not None
        assert 0 <= minor - charge.minor < 100
        if to_stripe(Money(minor, currency)) is not None:
            assert charge.minor == minor
