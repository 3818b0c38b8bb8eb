"""Columns that are written with the row and never change: roles and triggers refuse it."""

from collections.abc import Mapping
from typing import Final

#: Of each table. The triggers `frozen` of migrations/sql refuse the same, and a test compares the two.
FROZEN: Final[Mapping[str, tuple[str, ...]]] = {
    "checkouts": ("id", "cart_id", "owner", "reference", "currency", "created_at"),
    "payments": ("checkout_id", "gateway", "created_at"),
    "payment_operations": ("checkout_id", "kind", "n", "idempotency_key", "amount_minor", "created_at"),
    "orders": (
        *("id", "checkout_id", "cart_id", "owner", "reference", "currency", "subtotal_minor", "discount_minor"),
        *("shipping_minor", "tax_minor", "total_minor", "shipping", "shipping_address", "billing_address"),
        *("created_at", "customer"),
    ),
    "order_changes": (
        *("id", "order_id", "checkout_id", "owner", "kind", "reason", "actor", "idempotency_key", "fingerprint"),
        *("options", "reference", "created_at"),
    ),
    "refunds": ("id", "change_id", "checkout_id", "n", "idempotency_key", "amount_minor", "created_at"),
    "reservations": ("checkout_id", "line", "variant_id", "location_id", "quantity"),
    "redemptions": ("checkout_id", "code", "promotion_id", "customer", "redeemed_at"),
    "webhook_inbox": ("id", "gateway", "event_id", "kind", "reference", "checkout_id", "body", "received_at"),
}
