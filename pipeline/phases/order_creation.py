"""Writes the order and its lines from the frozen rows, pending. Undo: cancels it; the row stays."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Rejected
from pipeline.errors import Code
from pipeline.settings import Settings

# ON CONFLICT relies on two unique indexes: one order per checkout, one pending or placed order per cart. Lines are
# written only for new orders, in the same round trip.
WRITE: Final = text("""
    WITH written AS (
        INSERT INTO orders (id, checkout_id, cart_id, owner, reference, customer, currency, subtotal_minor,
                            discount_minor, shipping_minor, tax_minor, total_minor, shipping, shipping_address,
                            billing_address)
        SELECT made.order_id, c.id, c.cart_id, c.owner, c.reference, k.customer, l.currency, l.subtotal_minor,
               l.discount_minor, l.shipping_minor, l.tax_minor, l.total_minor, l.shipping, l.shipping_address,
               l.billing_address
        FROM unnest(CAST(:ids AS uuid[]), CAST(:order_ids AS uuid[])) AS made (checkout_id, order_id)
        JOIN checkouts c ON c.id = made.checkout_id
        JOIN carts k ON k.id = c.cart_id
        JOIN price_locks l ON l.checkout_id = c.id AND l.voided_at IS NULL
        ON CONFLICT DO NOTHING
        RETURNING id, checkout_id
    ), lines AS (
        INSERT INTO order_lines (order_id, line, variant_id, sku, title, quantity, unit_price_minor, tax_included,
                                 subtotal_minor, discount_minor, tax_minor, total_minor, discounts, taxes)
        SELECT w.id, l.line, l.variant_id, l.sku, l.title, l.quantity, l.unit_price_minor, l.tax_included,
               l.subtotal_minor, l.discount_minor, l.tax_minor, l.total_minor, l.discounts, l.taxes
        FROM written w JOIN price_lock_lines l USING (checkout_id)
    )
    SELECT checkout_id FROM written
""")

CANCEL: Final = text("""
    UPDATE orders SET state = 'cancelled', cancelled_at = now()
    WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND state = 'pending'
""")


def do(connection: Connection, batch: Sequence[LockedCheckout], settings: Settings) -> Mapping[UUID, PhaseResult]:  # noqa: ARG001
    """Copy the frozen rows into orders. A cart that has an order already is rejected."""
    rows = connection.execute(
        WRITE, {"ids": [checkout.id for checkout in batch], "order_ids": [uuid7() for _ in batch]}
    )
    written = {row.checkout_id for row in rows}
    return {
        checkout.id: Done()
        if checkout.id in written
        else Rejected(Code.CART_COMPLETED, {"cart_id": str(checkout.cart_id)})
        for checkout in batch
    }


def undo(connection: Connection, batch: Sequence[LockedCheckout]) -> None:
    """Cancel the orders of these checkouts; there may be none, or cancelled ones."""
    connection.execute(CANCEL, {"ids": [checkout.id for checkout in batch]})
