"""What the caller expects to be charged, held against what is frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.pricing.quote import hash_quote
from pipeline.pricing.terms import Quote


@dataclass(frozen=True, slots=True)
class Expected:
    """What was shown to the buyer: the total, optionally the quote's hash and each line's total by its number."""

    total_minor: int | None = None
    hash: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)


def find_drift(quote: Quote, expected: Expected, tolerance_minor: int) -> dict[str, Any] | None:
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
