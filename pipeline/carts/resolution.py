"""Which variant each line of a checkout is: written as the cart is validated, and read by every later phase."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

# The variant of a held reservation; without one, the catalog's of now.
CATCH_UP: Final = text("""
    INSERT INTO checkout_lines (checkout_id, line, variant_id)
    SELECT c.id, l.line, coalesce(held.variant_id, v.id)
    FROM checkouts c JOIN cart_lines l ON l.cart_id = c.cart_id
    LEFT JOIN LATERAL (
        SELECT variant_id FROM reservations r
        WHERE r.checkout_id = c.id AND r.line = l.line AND r.state = 'held' LIMIT 1
    ) held ON true
    LEFT JOIN variants v ON v.sku = l.sku
    WHERE c.id = ANY(CAST(:ids AS uuid[])) AND coalesce(held.variant_id, v.id) IS NOT NULL
    ON CONFLICT DO NOTHING
""")


def catch_up(connection: Connection, ids: Sequence[UUID]) -> None:
    """Resolve the lines of checkouts that an earlier release has validated. They must be locked.

    While a new release is rolled out, workers of the old one validate carts and do not store the variants.
    """
    connection.execute(CATCH_UP, {"ids": list(ids)})
