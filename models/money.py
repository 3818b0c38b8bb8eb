"""Money: integer minor units with an ISO 4217 currency. Floats never touch it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Final

from iso4217 import Currency

#: PostgreSQL's bigint. A total above this cannot be stored and is refused.
MAX_MINOR: Final = 2**63 - 1

_AMOUNT: Final = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]{1,18})(?:\.(?P<fraction>[0-9]*))?")


@cache
def minor_digits(currency: str) -> int | None:
    """Return how many decimal digits the currency's minor unit has (JPY 0, EUR 2, BHD 3).

    None when the code is unknown to ISO 4217 or has no minor unit (gold, testing codes): nothing is charged in those.
    """
    try:
        exponent = Currency(currency).exponent
    except ValueError:
        return None
    return None if exponent is None else int(exponent)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of one currency."""

    minor: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        """Add two amounts of one currency; other currencies are a programming error."""
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up: convert first")
        return Money(self.minor + other.minor, self.currency)

    def __str__(self) -> str:
        """Show as people write it: `12.34 EUR`, `1200 JPY`."""
        digits = minor_digits(self.currency) or 0
        return f"{Decimal(self.minor).scaleb(-digits):.{digits}f} {self.currency}"


def parse_amount(text: str, currency: str) -> Money:
    """Read a decimal amount such as `2.55` exactly; raise ValueError when it has more digits than the currency."""
    digits = minor_digits(currency)
    if digits is None:
        raise ValueError(f"{currency!r} is not an ISO 4217 currency with a minor unit")
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not an amount")
    # Strings and integers only: Decimal would round to its context's 28 digits.
    fraction = (found["fraction"] or "").rstrip("0")
    if len(fraction) > digits:
        raise ValueError(f"{text!r} is not a whole number of minor units of {currency}")
    return Money(int(found["sign"] + found["whole"] + fraction.ljust(digits, "0")), currency)


@cache
def parse_amounts(text: str) -> Mapping[str, int]:
    """Read minor units by currency, as in `EUR:5000,JPY:800000`; raise ValueError with what is wrong with them."""
    amounts: dict[str, int] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        currency, _, minor = (piece.strip() for piece in part.partition(":"))
        if minor_digits(currency) is None:
            raise ValueError(f"{currency!r} is not an ISO 4217 currency with a minor unit, as in EUR:5000")
        if re.fullmatch(r"[0-9]{1,19}", minor) is None or int(minor) > MAX_MINOR:
            raise ValueError(f"{minor!r} is not a whole number of minor units of {currency}, as in EUR:5000")
        if currency in amounts:
            raise ValueError(f"{currency} stands there twice")
        amounts[currency] = int(minor)
    return MappingProxyType(amounts)
