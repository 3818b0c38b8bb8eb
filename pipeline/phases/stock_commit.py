"""Commits the reserved stock, places the order with its number, and completes the cart.

The payment is captured: nothing here may fail for a business reason. Every row it needs was written and checked by
earlier phases under the same cart lock, so there is no undo either.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.cells import find_number_base
from pipeline.checkouts import Done, LockedCheckout, PhaseResult
from pipeline.checkouts.locks import lock_carts, lock_held_stock
from pipeline.settings import Settings

# In one round trip: the units, and the orders.
SELL_AND_PLACE: Final = text("""
    WITH sold AS (
        UPDATE reservations SET state = 'committed' WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND state = 'held'
        RETURNING checkout_id, variant_id, location_id, quantity
    ), counted AS (
        UPDATE stock_levels s SET reserved = s.reserved - h.quantity, on_hand = s.on_hand - h.quantity
        FROM (SELECT variant_id, location_id, sum(quantity) AS quantity FROM sold GROUP BY 1, 2) h
        WHERE s.variant_id = h.variant_id AND s.location_id = h.location_id
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location_id, kind, quantity, checkout_id)
        SELECT variant_id, location_id, 'sell', -quantity, checkout_id FROM sold
    )
    UPDATE orders SET state = 'placed', number = :base + nextval('order_numbers'), placed_at = now()
    WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND state = 'pending'
""")

# A statement of its own: the cart's trigger requires a placed order.
COMPLETE: Final = text("""
    UPDATE carts SET state = 'completed', updated_at = now() WHERE id = ANY(CAST(:cart_ids AS uuid[]))
""")

undo = None


def do(connection: Connection, batch: Sequence[LockedCheckout], settings: Settings) -> Mapping[UUID, PhaseResult]:
    """Commit the stock, place the orders and complete the carts of a batch."""
    ids = [checkout.id for checkout in batch]
    cart_ids = [checkout.cart_id for checkout in batch]
    lock_carts(connection, cart_ids)
    lock_held_stock(connection, ids)
    connection.execute(SELL_AND_PLACE, {"ids": ids, "base": find_number_base(settings.cell)})
    connection.execute(COMPLETE, {"cart_ids": cart_ids})
    return {checkout.id: Done() for checkout in batch}
