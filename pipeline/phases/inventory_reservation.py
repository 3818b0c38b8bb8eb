"""Hold every line, all or nothing, atomically. Undo: release.

One lock, one update and one insert for a whole batch, so that a rush on one variant costs one row lock a batch
instead of one a buyer.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.carts.resolution import catch_up
from pipeline.catalog.allocation import Allocation, Level, Shelf, Short, Want
from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Rejected
from pipeline.checkouts.locks import lock_held_stock, lock_stock
from pipeline.errors import Code
from pipeline.settings import Settings

# By the variants that the validation has resolved: a sku may have been given to another since.
WANTED: Final = text("""
    SELECT k.id AS checkout_id, l.line, r.line IS NOT NULL AS resolved, v.id AS variant_id, l.sku, l.quantity
    FROM checkouts k JOIN cart_lines l ON l.cart_id = k.cart_id
    LEFT JOIN checkout_lines r ON r.checkout_id = k.id AND r.line = l.line
    LEFT JOIN variants v ON v.id = r.variant_id
    WHERE k.id = ANY(CAST(:ids AS uuid[]))
    ORDER BY k.id, l.line
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


def do(connection: Connection, batch: Sequence[LockedCheckout], settings: Settings) -> Mapping[UUID, PhaseResult]:  # noqa: ARG001
    """Hold the lines of a batch, first come first served, or reject the checkouts that fall short."""
    wants, lost = _load_wants(connection, [checkout.id for checkout in batch])
    variant_ids = sorted({want.variant_id for lines in wants.values() for want in lines})
    shelf = Shelf(
        Level(row.variant_id, row.location_id, row.on_hand - row.reserved, row.backorderable)
        for row in lock_stock(connection, variant_ids)
    )
    outcomes: dict[UUID, PhaseResult] = {}
    allocations: list[Allocation] = []
    for checkout in batch:
        if checkout.id in lost:
            outcomes[checkout.id] = lost[checkout.id]
            continue
        served = shelf.serve(checkout.id, wants[checkout.id])
        if isinstance(served, Short):
            outcomes[checkout.id] = Rejected(
                Code.OUT_OF_STOCK,
                {
                    "line": served.line,
                    "sku": served.sku,
                    "requested": served.requested,
                    "available": max(served.available, 0),
                },
            )
        else:
            outcomes[checkout.id] = Done()
            allocations.extend(served)
    if allocations:
        _reserve(connection, allocations)
    return outcomes


def undo(connection: Connection, batch: Sequence[LockedCheckout]) -> None:
    """Release whatever is still held; nothing held is fine."""
    ids = [checkout.id for checkout in batch]
    lock_held_stock(connection, ids)
    connection.execute(RELEASE, {"ids": ids})


def _load_wants(connection: Connection, ids: Sequence[UUID]) -> tuple[dict[UUID, list[Want]], dict[UUID, Rejected]]:
    """Return the lines of these checkouts, and the refusals of those of which a line has lost its variant."""
    rows = connection.execute(WANTED, {"ids": list(ids)}).all()
    if late := {row.checkout_id for row in rows if not row.resolved}:
        catch_up(connection, sorted(late))
        rows = connection.execute(WANTED, {"ids": list(ids)}).all()
    wants: dict[UUID, list[Want]] = defaultdict(list)
    lost: dict[UUID, Rejected] = {}
    for row in rows:
        if row.variant_id is None:
            facts = {"line": row.line, "sku": row.sku}
            lost.setdefault(row.checkout_id, Rejected(Code.VARIANT_UNKNOWN, facts))
        else:
            wants[row.checkout_id].append(Want(row.line, row.variant_id, row.sku, row.quantity))
    return wants, lost


def _reserve(connection: Connection, allocations: Sequence[Allocation]) -> None:
    connection.execute(
        RESERVE,
        {
            "checkout_ids": [allocation.checkout_id for allocation in allocations],
            "lines": [allocation.line for allocation in allocations],
            "variant_ids": [allocation.variant_id for allocation in allocations],
            "location_ids": [allocation.location_id for allocation in allocations],
            "quantities": [allocation.quantity for allocation in allocations],
        },
    )
