"""What the caller expects to be charged, held against what is frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.pricing.exchange import find_amount
from pipeline.pricing.quote import hash_quote
from pipeline.pricing.terms import ExchangeRate, Quote


@dataclass(frozen=True, slots=True)
class Expected:
    """What was shown to the buyer: the total, optionally the quote's hash and each line's total by its number."""

    total_minor: int | None = None
    hash: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)


def find_drift(quote: Quote, expected: Expected, tolerance_minor: int | Fraction) -> dict[str, Any] | None:
    """Return how the quote differs from what was expected, line by line, or None when it does not.

    Lines are compared with what the caller named; of a caller who named none, all are listed as they are now.
    """
    off = expected.total_minor is not None and abs(quote.total_minor - expected.total_minor) > tolerance_minor
    # The hash is only made when it is asked about: most callers name a total, and freezing makes it once anyway.
    if not off and (expected.hash is None or expected.hash == hash_quote(quote)):
        return None
    return {
        "total_minor": quote.total_minor,
        "expected_total_minor": expected.total_minor,
        "hash": hash_quote(quote),
        "shipping_minor": quote.shipping_minor,
        "lines": [
            {
                "line": line.line,
                "sku": line.sku,
                "quantity": line.quantity,
                "unit_price_minor": line.unit_price_minor,
                "discount_minor": line.discount_minor,
                "tax_minor": line.tax_minor,
                "total_minor": line.total_minor,
                "expected_total_minor": expected.lines.get(str(line.line)),
            }
            for line in quote.lines
            if not expected.lines or expected.lines.get(str(line.line)) != line.total_minor
        ],
    }


def find_tolerance(quote: Quote, amounts: Mapping[str, int]) -> Fraction:
    """Return how far the quote's total may be off, of amounts by currency: converted by its own rate, else nothing."""
    rates = []
    if quote.base_currency and quote.exchange_rate and quote.exchange_source and quote.exchange_at:
        observed_at = datetime.fromisoformat(quote.exchange_at)
        rate = Decimal(quote.exchange_rate)
        rates.append(ExchangeRate(quote.base_currency, quote.currency, rate, quote.exchange_source, observed_at))
    return find_amount(amounts, quote.currency, rates) or Fraction()
