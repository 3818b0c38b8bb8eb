"""Pricing: from a cart to a quote, which is frozen, and compared with what the caller expects.

Public modules: `charge` (can it be charged), `coupons`, `exchange` (between currencies), `loader` (what is valid now),
`promotions.records` (promotions and coupons as people make them), `taxes.tax_ids` (reverse charge), `terms` (what a
quote is made from).
"""

from pipeline.pricing.drift import find_drift, find_tolerance
from pipeline.pricing.quote import hash_quote, price_order
from pipeline.pricing.storage import freeze_quotes, read_quotes
from pipeline.pricing.terms import Quote

__all__ = ["Quote", "find_drift", "find_tolerance", "freeze_quotes", "hash_quote", "price_order", "read_quotes"]
