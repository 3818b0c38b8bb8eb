"""Converts between Stripe's smallest units and ISO 4217's, with the exceptions on https://docs.stripe.com/currencies."""

from typing import Final

from models.money import Money, minor_digits
from pipeline.gateways.gateway import NotChargeable

#: Amounts in whole units. ISO 4217 gives MGA two digits, the others none.
_WHOLE: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
#: Without decimals by ISO 4217; Stripe writes two, which are always 00.
_HUNDREDFOLD: Final = frozenset({"ISK", "UGX"})
#: Three decimals, of which the card networks use two: the last digit is always 0.
_THOUSANDTHS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


#: The smallest charges, in Stripe's units; one unit in other currencies. A charge in another currency than the
#: account's is compared with the account's minimum after conversion, which only Stripe can do (`amount_too_small`).
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
#: Digits of the largest charge, in Stripe's units, where they are more than eight. Stripe may still refuse the amount
#: (`amount_too_large`).
_DIGITS: Final = {"COP": 10, "HUF": 10, "IDR": 12, "INR": 10, "JPY": 10, "LBP": 12}


def find_chargeable(amount: Money) -> Money | NotChargeable:
    """Return the amount, or the next lower one if it has more decimals than Stripe charges in its currency."""
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
    """Return the amount in Stripe's unit; None if Stripe cannot charge it. It never rounds."""
    digits = _stripe_digits(money.currency)
    own = minor_digits(money.currency)
    if digits is None or own is None or money.minor <= 0:
        return None
    amount, rest = divmod(money.minor * 10**digits, 10**own)
    is_uneven = money.currency in _THOUSANDTHS and amount % 10 != 0
    return None if rest or is_uneven else amount


def from_stripe(amount: int, currency: str) -> Money:
    """Return Stripe's amount in minor units: the exact inverse of `to_stripe`."""
    code = currency.upper()
    digits, own = _stripe_digits(code), minor_digits(code)
    if digits is None or own is None:
        return Money(amount, code)
    return Money(amount * 10**own // 10**digits, code)


def _stripe_digits(currency: str) -> int | None:
    """Return how many decimals Stripe writes; None for currencies that it does not support."""
    if currency in _WHOLE:
        return 0
    if currency in _THOUSANDTHS:
        return 3
    return 2 if currency in _HUNDREDFOLD or minor_digits(currency) == 2 else None
