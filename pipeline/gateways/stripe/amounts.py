"""Stripe's smallest units and those of the engine: ISO 4217's, with the exceptions of https://docs.stripe.com/currencies."""

from typing import Final

from models.money import Money, minor_digits
from pipeline.gateways.gateway import NotChargeable

#: Amounts in whole units. ISO 4217 gives MGA two digits, the others none.
_WHOLE: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
#: Without decimals by ISO 4217, and still written with two at Stripe, which are always 00.
_HUNDREDFOLD: Final = frozenset({"ISK", "UGX"})
#: Three decimals, of which the card networks take two: the last digit is always 0.
_THOUSANDTHS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


#: The least that is charged, in Stripe's units; of the others one unit. A charge in another currency than that of the
#: account is compared with that one's minimum after conversion, which only Stripe can do (`amount_too_small`).
_LEAST: Final = {
    "AED": 200,
    "AUD": 50,
    "BGN": 100,
    "BRL": 50,
    "CAD": 50,
    "CHF": 50,
    "CZK": 1500,
    "DKK": 250,
    "EUR": 50,
    "GBP": 30,
    "HKD": 400,
    "HUF": 17500,
    "INR": 50,
    "JPY": 50,
    "MXN": 1000,
    "MYR": 200,
    "NOK": 300,
    "NZD": 50,
    "PLN": 200,
    "RON": 200,
    "SEK": 300,
    "SGD": 50,
    "THB": 1000,
    "USD": 50,
}
#: Digits of the largest charge, in Stripe's units, where they may be more than eight. Stripe has the last word
#: (`amount_too_large`).
_DIGITS: Final = {"COP": 10, "HUF": 10, "IDR": 12, "INR": 10, "JPY": 10, "LBP": 12}


def find_chargeable(amount: Money) -> Money | NotChargeable:
    """Return the amount, or the next lower one if it is finer than what Stripe charges in its currency."""
    digits, own = _stripe_digits(amount.currency), minor_digits(amount.currency)
    if digits is None or own is None:
        return NotChargeable(f"Stripe takes no {amount.currency}: use another currency")
    step = 10 if amount.currency in _THOUSANDTHS else int(10 ** max(0, own - digits))
    least = max(from_stripe(_LEAST.get(amount.currency, 1), amount.currency).minor, step)
    most = from_stripe(10 ** _DIGITS.get(amount.currency, 8) - 1, amount.currency).minor
    rounded = amount.minor - amount.minor % step
    if rounded < least:
        return NotChargeable(f"Stripe takes {Money(least, amount.currency)} and more: add something to the cart")
    if rounded > most:
        return NotChargeable(f"Stripe takes {Money(most - most % step, amount.currency)} at most: split the cart")
    return Money(rounded, amount.currency)


def to_stripe(money: Money) -> int | None:
    """Return the amount in Stripe's unit; None for what it has no way of charging, never a rounded amount."""
    digits = _stripe_digits(money.currency)
    own = minor_digits(money.currency)
    if digits is None or own is None or money.minor <= 0:
        return None
    amount, rest = divmod(money.minor * 10**digits, 10**own)
    is_uneven = money.currency in _THOUSANDTHS and amount % 10 != 0
    return None if rest or is_uneven else amount


def from_stripe(amount: int, currency: str) -> Money:
    """Return Stripe's amount in our unit. What `to_stripe` made comes back exactly."""
    code = currency.upper()
    digits, own = _stripe_digits(code), minor_digits(code)
    if digits is None or own is None:
        return Money(amount, code)
    return Money(amount * 10**own // 10**digits, code)


def _stripe_digits(currency: str) -> int | None:
    """Return how many decimals Stripe writes; None for currencies it does not take for having too many."""
    if currency in _WHOLE:
        return 0
    if currency in _THOUSANDTHS:
        return 3
    return 2 if currency in _HUNDREDFOLD or minor_digits(currency) == 2 else None
