"""Stripe's smallest units and ours: ISO 4217's, with the exceptions of https://docs.stripe.com/currencies."""

from typing import Final

from models.money import Money, minor_digits

#: Amounts in whole units. ISO 4217 gives MGA two digits, the others none.
_WHOLE: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
#: Without decimals by ISO 4217, and still written with two at Stripe, which are always 00.
_HUNDREDFOLD: Final = frozenset({"ISK", "UGX"})
#: Three decimals, of which the card networks take two: the last digit is always 0.
_THOUSANDTHS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


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
