"""Compare what the caller expects to be charged with what is frozen."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from pipeline.checkouts import Expected
from pipeline.pricing.exchange import find_amount
from pipeline.pricing.quote import hash_quote
from pipeline.pricing.terms import ExchangeRate, Quote

#: Lines of a difference that its sentence names; the facts have them all.
NAMED_LINES: Final = 3


def find_drift(quote: Quote, expected: Expected, tolerance_minor: int | Fraction) -> dict[str, Any] | None:
    """Return how the quote differs from what was expected, line by line, or None when it does not.

    The total, each line, and the lines together may be off by the tolerance (minor units of the quote's currency), the
    hash by nothing. Lines are compared with the caller's; without any, all are listed as they are now. `differs` says
    what is off where it is not the total.
    """
    off = expected.total_minor is not None and abs(quote.total_minor - expected.total_minor) > tolerance_minor
    other_lines = _find_other_lines(quote, expected.lines, tolerance_minor) if expected.lines else []
    # The hash is only computed when the caller names one: most name a total, and freezing computes it once anyway.
    other_hash = expected.hash is not None and not off and not other_lines and expected.hash != hash_quote(quote)
    if not off and not other_lines and not other_hash:
        return None
    drift = {
        "total_minor": quote.total_minor,
        "expected_total_minor": expected.total_minor,
        "hash": hash_quote(quote),
        "shipping_minor": quote.shipping_minor,
        "lines": _list_lines(quote, expected.lines),
    }
    if off:
        return drift
    return drift | {"differs": "the quote's hash is another one" if other_hash else _describe(other_lines)}


def find_tolerance(quote: Quote, amounts: Mapping[str, int]) -> Fraction:
    """Return how far the quote's total may be off: one of these amounts, converted by the quote's own rate, or 0."""
    rates = []
    if quote.base_currency and quote.exchange_rate and quote.exchange_source and quote.exchange_at:
        observed_at = datetime.fromisoformat(quote.exchange_at)
        rate = Decimal(quote.exchange_rate)
        rates.append(ExchangeRate(quote.base_currency, quote.currency, rate, quote.exchange_source, observed_at))
    return find_amount(amounts, quote.currency, rates) or Fraction()


def _find_other_lines(quote: Quote, expected: Mapping[str, int], tolerance_minor: int | Fraction) -> list[str]:
    """Return how each line is off; nothing if each of them, and all of them together, are within the tolerance."""
    totals = {str(line.line): line.total_minor for line in quote.lines}
    found = [f"line {number} is new" for number in totals if number not in expected]
    found += [f"line {number} is not there" for number in expected if number not in totals]
    both = [(number, totals[number], shown) for number, shown in expected.items() if number in totals]
    beyond = [each for each in both if abs(each[1] - each[2]) > tolerance_minor]
    if not beyond and abs(sum(now - shown for _, now, shown in both)) > tolerance_minor:
        beyond = [each for each in both if each[1] != each[2]]
    return found + [f"line {number} is {now}, not {shown}" for number, now, shown in beyond]


def _describe(differences: list[str]) -> str:
    left = len(differences) - NAMED_LINES
    return ", ".join(differences[:NAMED_LINES]) + (f" and {left} more" if left > 0 else "")


def _list_lines(quote: Quote, expected: Mapping[str, int]) -> list[dict[str, Any]]:
    there = {str(line.line) for line in quote.lines}
    lines = [
        {
            "line": line.line,
            "sku": line.sku,
            "quantity": line.quantity,
            "unit_price_minor": line.unit_price_minor,
            "discount_minor": line.discount_minor,
            "tax_minor": line.tax_minor,
            "total_minor": line.total_minor,
            "expected_total_minor": expected.get(str(line.line)),
        }
        for line in quote.lines
        if expected.get(str(line.line)) != line.total_minor
    ]
    amounts = ("quantity", "unit_price_minor", "discount_minor", "tax_minor", "total_minor")
    return lines + [
        {"line": int(number), "sku": None, **dict.fromkeys(amounts, 0), "expected_total_minor": shown}
        for number, shown in expected.items()
        if number not in there
    ]
