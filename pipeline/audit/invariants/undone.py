"""A checkout that was undone keeps no stock, price, order or money."""

from typing import Final

from pipeline.database.invariant import Invariant

_WAS_UNDONE: Final = "c.state IN ('failed', 'cancelled', 'expired')"

UNDONE: Final = (
    Invariant(
        "undone_holds_no_stock",
        "A checkout that failed, was cancelled or expired holds no units and bought none.",
        f"""
        SELECT c.id AS checkout_id, c.state, r.variant_id, r.location_id, r.quantity, r.state AS reservation
        FROM checkouts c JOIN reservations r ON r.checkout_id = c.id
        WHERE {_WAS_UNDONE} AND r.state <> 'released'
        """,
        by_checkout=True,
    ),
    Invariant(
        "undone_price_lock_is_void",
        "The price lock of a checkout that failed, was cancelled or expired is void.",
        f"""
        SELECT c.id AS checkout_id, c.state, p.total_minor FROM checkouts c JOIN price_locks p ON p.checkout_id = c.id
        WHERE {_WAS_UNDONE} AND p.voided_at IS NULL
        """,
        by_checkout=True,
    ),
    Invariant(
        "undone_order_is_cancelled",
        "The order of a checkout that failed, was cancelled or expired is cancelled.",
        f"""
        SELECT c.id AS checkout_id, c.state, o.id AS order_id, o.state AS order_state
        FROM checkouts c JOIN orders o ON o.checkout_id = c.id
        WHERE {_WAS_UNDONE} AND o.state <> 'cancelled'
        """,
        by_checkout=True,
    ),
    Invariant(
        "undone_payment_is_voided",
        "The payment of a checkout that failed, was cancelled or expired is neither authorised, captured nor pending.",
        f"""
        SELECT c.id AS checkout_id, c.state, p.status AS payment, p.reference
        FROM checkouts c JOIN payments p ON p.checkout_id = c.id
        WHERE {_WAS_UNDONE} AND p.status IN ('action_required', 'authorized', 'captured')
        """,
        by_checkout=True,
    ),
)
