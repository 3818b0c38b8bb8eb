"""Conversion of currencies: exact until the one rounding at the end, a half up."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Final

from models.money import Money, minor_digits
from pipeline.pricing.shares import round_half_up
from pipeline.pricing.terms import ExchangeRate

#: What published rates have in common: the ECB's are all against the euro.
REFERENCE_CURRENCY: Final = "EUR"

#: A computed rate has 16 significant digits: on any amount below 10^15 minor units that is less than half a unit off.
_COMPUTED: Final = Context(prec=16, rounding=ROUND_HALF_UP)


def convert(amount_minor: int, rate: ExchangeRate) -> int:
    """Convert minor units of the rate's base to minor units of its quote; the two may have different digits."""
    if amount_minor < 0:
        raise ValueError(f"{amount_minor} is negative: prices are not")
    return round_half_up(amount_minor * Fraction(rate.rate) * _shift(rate.base, rate.quote))


def convert_price(price_minor: int, rate: ExchangeRate) -> int | None:
    """Convert the price of one unit, to within half a minor unit; None where a price above zero would become zero."""
    converted = convert(price_minor, rate)
    return converted if converted or not price_minor else None


def convert_exactly(amount: Money, currency: str, rates: Iterable[ExchangeRate]) -> Fraction | None:
    """Return the amount in minor units of another currency, not rounded; None when there is no rate between the two.

    The rate is not rounded either: 11.00 USD at 1.1 to the euro are 10.00 EUR. A currency without a minor unit has no
    rate.
    """
    if amount.currency == currency:
        return Fraction(amount.minor)
    if minor_digits(amount.currency) is None or minor_digits(currency) is None:
        return None
    match _find_legs(amount.currency, currency, rates):
        case None:
            return None
        case ExchangeRate() as published:
            rate = Fraction(published.rate)
        case legs:
            rate = Fraction(_per_euro(currency, legs)) / Fraction(_per_euro(amount.currency, legs))
    return amount.minor * rate * _shift(amount.currency, currency)


def find_amount(amounts: Mapping[str, int], currency: str, rates: Iterable[ExchangeRate]) -> Fraction | None:
    """Return the amount for a currency from amounts by currency, in its minor units, not rounded; None without one.

    For a currency that is not named, it is the amount of the first one that is named and has a rate to it.
    """
    if currency in amounts:
        return Fraction(amounts[currency])
    known = tuple(rates)
    converted = (convert_exactly(Money(minor, named), currency, known) for named, minor in amounts.items())
    return next((amount for amount in converted if amount is not None), None)


def cross(base: str, quote: str, rates: Iterable[ExchangeRate]) -> ExchangeRate | None:
    """Return the rate from base to quote: as published, or computed over the euro; None when one is missing.

    A computed rate is as old as the older of the two, and names both sources where they differ.
    """
    match _find_legs(base, quote, rates):
        case None:
            return None
        case ExchangeRate() as published:
            return published
        case legs:
            return ExchangeRate(
                base=base,
                quote=quote,
                rate=_COMPUTED.divide(_per_euro(quote, legs), _per_euro(base, legs)),
                source=", ".join(sorted({leg.source for leg in legs})),
                observed_at=min(leg.observed_at for leg in legs),
            )


def _find_legs(base: str, quote: str, rates: Iterable[ExchangeRate]) -> ExchangeRate | Sequence[ExchangeRate] | None:
    """Return the published rate, or those of both currencies against the euro, or None when one is missing."""
    known = {(each.base, each.quote): each for each in rates}
    if (base, quote) in known:
        return known[base, quote]
    legs = [known.get((REFERENCE_CURRENCY, currency)) for currency in (base, quote) if currency != REFERENCE_CURRENCY]
    published = [leg for leg in legs if leg is not None]
    return None if base == quote or len(published) < len(legs) else published


def _per_euro(currency: str, legs: Iterable[ExchangeRate]) -> Decimal:
    return next((leg.rate for leg in legs if leg.quote == currency), Decimal(1))


def _shift(base: str, quote: str) -> Fraction:
    """Return how many minor units of one are in one minor unit of the other, at par."""
    return Fraction(10) ** (_digits(quote) - _digits(base))


def _digits(currency: str) -> int:
    digits = minor_digits(currency)
    if digits is None:
        raise ValueError(f"{currency!r} is not an ISO 4217 currency with a minor unit")
    return digits
