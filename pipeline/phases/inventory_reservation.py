"""Phase 2: hold every line, all or nothing, atomically. Undo: release.

One lock, one update and one insert for a whole batch, so that a rush on one variant costs one row lock a batch
instead of one a buyer.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.allocation import Hold, Level, Shelf, Short, Want
from pipeline.batch import Done, Member, Outcome, Rejected
from pipeline.errors import Code
from pipeline.locks import lock_held_stock, lock_stock
from pipeline.settings import Settings

WANTED: Final = text("""
    SELECT l.cart_id, l.line, v.id AS variant_id, l.sku, l.quantity
    FROM cart_lines l JOIN variants v USING (sku)
    WHERE l.cart_id = ANY(CAST(:cart_ids AS uuid[]))
    ORDER BY l.cart_id, l.line
""")

RESERVE: Final = text("""
    WITH held AS (
        INSERT INTO reservations (checkout_id, line, variant_id, location_id, quantity)
        SELECT * FROM unnest(CAST(:checkout_ids AS uuid[]), CAST(:lines AS integer[]), CAST(:variant_ids AS bigint[]),
                             CAST(:location_ids AS bigint[]), CAST(:quantities AS integer[]))
        RETURNING checkout_id, variant_id, location_id, quantity
    ), counted AS (
        UPDATE stock_levels s SET reserved = s.reserved + h.quantity
        FROM (SELECT variant_id, location_id, sum(quantity) AS quantity FROM held GROUP BY 1, 2) h
        WHERE s.variant_id = h.variant_id AND s.location_id = h.location_id
    )
    INSERT INTO stock_movements (variant_id, location_id, kind, quantity, checkout_id)
    SELECT variant_id, location_id, 'reserve', quantity, checkout_id FROM held
""")

RELEASE: Final = text("""
    WITH freed AS (
        UPDATE reservations SET state = 'released' WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND state = 'held'
        RETURNING checkout_id, variant_id, location_id, quantity
    ), counted AS (
        UPDATE stock_levels s SET reserved = s.reserved - f.quantity
        FROM (SELECT variant_id, location_id, sum(quantity) AS quantity FROM freed GROUP BY 1, 2) f
        WHERE s.variant_id = f.variant_id AND s.location_id = f.location_id
    )
    INSERT INTO stock_movements (variant_id, location_id, kind, quantity, checkout_id)
    SELECT variant_id, location_id, 'release', -quantity, checkout_id FROM freed
""")


def do(connection: Connection, batch: Sequence[Member], settings: Settings) -> Mapping[UUID, Outcome]:  # noqa: ARG001
    """Hold the lines of a batch, first come first served, or reject the checkouts that fall short."""
    wants = _load_wants(connection, [member.cart_id for member in batch])
    variant_ids = sorted({want.variant_id for lines in wants.values() for want in lines})
    shelf = Shelf(
        Level(row.variant_id, row.location_id, row.on_hand - row.reserved, row.backorderable)
        for row in lock_stock(connection, variant_ids)
    )
    outcomes: dict[UUID, Outcome] = {}
    holds: list[Hold] = []
    for member in batch:
        served = shelf.serve(member.id, wants[member.cart_id])
        if isinstance(served, Short):
            outcomes[member.id] = Rejected(
                Code.OUT_OF_STOCK,
                {
                    "line": served.line,
                    "sku": served.sku,
                    "requested": served.requested,
                    "available": max(served.available, 0),
                },
            )
        else:
            outcomes[member.id] = Done()
            holds.extend(served)
    if holds:
        _reserve(connection, holds)
    return outcomes


def undo(connection: Connection, batch: Sequence[Member]) -> None:
    """Release whatever is still held; nothing held is fine."""
    ids = [member.id for member in batch]
    lock_held_stock(connection, ids)
    connection.execute(RELEASE, {"ids": ids})


def _load_wants(connection: Connection, cart_ids: Sequence[UUID]) -> dict[UUID, list[Want]]:
    wants: dict[UUID, list[Want]] = defaultdict(list)
    for row in connection.execute(WANTED, {"cart_ids": list(cart_ids)}):
        wants[row.cart_id].append(Want(row.line, row.variant_id, row.sku, row.quantity))
    return wants


def _reserve(connection: Connection, holds: Sequence[Hold]) -> None:
    connection.execute(
        RESERVE,
        {
            "checkout_ids": [hold.checkout_id for hold in holds],
            "lines": [hold.line for hold in holds],
            "variant_ids": [hold.variant_id for hold in holds],
            "location_ids": [hold.location_id for hold in holds],
            "quantities": [hold.quantity for hold in holds],
        },
    )
