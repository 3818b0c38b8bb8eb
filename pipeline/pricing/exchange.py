"""From one currency to another. Exact until the one rounding at the end, a half up."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Final

from models.money import minor_digits
from pipeline.pricing.shares import round_half_up
from pipeline.pricing.terms import ExchangeRate

#: What published rates have in common: the ECB's are all against the euro.
PIVOT: Final = "EUR"

#: A computed rate has 16 significant digits: on any amount below 10^15 minor units that is less than half a unit off.
_COMPUTED: Final = Context(prec=16, rounding=ROUND_HALF_UP)


def convert(amount_minor: int, rate: ExchangeRate) -> int:
    """Convert minor units of the rate's base to minor units of its quote; the two may have different digits."""
    if amount_minor < 0:
        raise ValueError(f"{amount_minor} is negative: prices are not")
    digits = _digits(rate.quote) - _digits(rate.base)
    return round_half_up(amount_minor * Fraction(rate.rate) * Fraction(10) ** digits)


def cross(base: str, quote: str, rates: Iterable[ExchangeRate]) -> ExchangeRate | None:
    """Find the rate from base to quote: as published, or computed over the euro; None when one is missing.

    A computed rate is as old as the older of the two, and names both sources where they differ.
    """
    known = {(each.base, each.quote): each for each in rates}
    if (base, quote) in known:
        return known[base, quote]
    legs = [known.get((PIVOT, currency)) for currency in (base, quote) if currency != PIVOT]
    published = [leg for leg in legs if leg is not None]
    if base == quote or len(published) < len(legs):
        return None
    return ExchangeRate(
        base=base,
        quote=quote,
        rate=_COMPUTED.divide(_per_euro(quote, published), _per_euro(base, published)),
        source=", ".join(sorted({leg.source for leg in published})),
        observed_at=min(leg.observed_at for leg in published),
    )


def _per_euro(currency: str, legs: Iterable[ExchangeRate]) -> Decimal:
    return next((leg.rate for leg in legs if leg.quote == currency), Decimal(1))


def _digits(currency: str) -> int:
    digits = minor_digits(currency)
    if digits is None:
        raise ValueError(f"{currency!r} is not an ISO 4217 currency with a minor unit")
    return digits
