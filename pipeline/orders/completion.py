"""The ends of changes: done with all that follows, failed, or in front of a person. Their orders are locked.

What a done change does to stock, coupons and its order is in the transaction that ends it. It is safe to repeat: units
are restocked once for each change, coupon uses are returned once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import ChangeKind, ChangeState, OrderState
from pipeline.checkouts.locks import lock_stock
from pipeline.orders.changes import LockedChange, Reason, end_changes
from pipeline.orders.events import CHANGE_FAILED, DONE_EVENTS, NEEDS_REVIEW, REFUND_FAILED, write_change_events
from pipeline.pricing.coupons import return_coupons
from pipeline.settings import Settings

RESTOCKED_VARIANTS: Final = text("""
    SELECT DISTINCT o.variant_id FROM order_change_lines l JOIN order_changes c ON c.id = l.change_id
    JOIN order_lines o ON o.order_id = c.order_id AND o.line = l.line
    WHERE l.change_id = ANY(CAST(:ids AS uuid[])) AND l.purpose = 'restock'
""")

# A unique index of the movements has the change: however often this is run, its units come into stock once.
RESTOCK: Final = text("""
    WITH moved AS (
        INSERT INTO stock_movements (variant_id, location_id, kind, quantity, change_id)
        SELECT o.variant_id, l.location_id, 'restock', sum(l.quantity), l.change_id
        FROM order_change_lines l JOIN order_changes c ON c.id = l.change_id
        JOIN order_lines o ON o.order_id = c.order_id AND o.line = l.line
        WHERE l.change_id = ANY(CAST(:ids AS uuid[])) AND l.purpose = 'restock'
        GROUP BY l.change_id, o.variant_id, l.location_id
        ON CONFLICT DO NOTHING
        RETURNING variant_id, location_id, quantity
    )
    UPDATE stock_levels s SET on_hand = s.on_hand + m.quantity
    FROM (SELECT variant_id, location_id, sum(quantity) AS quantity FROM moved GROUP BY 1, 2) m
    WHERE s.variant_id = m.variant_id AND s.location_id = m.location_id
""")

CANCEL: Final = text("""
    UPDATE orders SET state = 'cancelled', cancelled_at = now()
    WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'placed'
""")

_MONEY: Final = frozenset({ChangeKind.CANCEL, ChangeKind.REFUND})


def finish_changes(
    connection: Connection,
    changes: Sequence[LockedChange],
    settings: Settings,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """End these changes as done, with all that follows, and tell it; `facts` are of their events."""
    if not changes:
        return
    ids = [change.id for change in changes]
    variants = connection.execute(RESTOCKED_VARIANTS, {"ids": ids}).scalars().all()
    if variants:
        lock_stock(connection, variants)
        connection.execute(RESTOCK, {"ids": ids})
    cancelled = [change for change in changes if change.kind is ChangeKind.CANCEL]
    if cancelled:
        if settings.cancel_returns_coupons:
            return_coupons(connection, [change.checkout_id for change in cancelled])
        connection.execute(CANCEL, {"ids": [change.order_id for change in cancelled]})
    # What the setting said then: the audit knows by it whose coupon uses must be back.
    returned = {"coupons_returned": True} if settings.cancel_returns_coupons else {}
    ends = {change.id: {**(facts or {}), **(returned if change in cancelled else {})} for change in changes}
    end_changes(connection, {id_: (ChangeState.DONE, outcome) for id_, outcome in ends.items()})
    write_change_events(connection, {change.id: (_done_event(change), facts or {}) for change in changes}, changes)


def fail_changes(
    connection: Connection,
    failed: Sequence[tuple[LockedChange, Reason]],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """End these changes as failed, with the reason: nothing of them happens, and they count no more."""
    ends = {change.id: (ChangeState.FAILED, {**reason.describe(), **(facts or {})}) for change, reason in failed}
    end_changes(connection, ends)
    told = {
        change.id: (REFUND_FAILED if change.kind in _MONEY else CHANGE_FAILED, ends[change.id][1])
        for change, _ in failed
    }
    if told:
        write_change_events(connection, told, [change for change, _ in failed])


def review_changes(
    connection: Connection, asked: Sequence[tuple[LockedChange, Reason]], *, event: str = NEEDS_REVIEW
) -> None:
    """Move these changes to review, with the reason: a person settles them. Their amounts and units keep counting."""
    ends = {change.id: (ChangeState.NEEDS_REVIEW, reason.describe()) for change, reason in asked}
    end_changes(connection, ends)
    if ends:
        told: dict[UUID, tuple[str, Mapping[str, Any]]] = {id_: (event, facts) for id_, (_, facts) in ends.items()}
        write_change_events(connection, told, [change for change, _ in asked])


def _done_event(change: LockedChange) -> str:
    """Return what is told. The refund of an order that was cancelled before is one that had failed later."""
    if change.kind is ChangeKind.CANCEL and change.order_state is OrderState.CANCELLED:
        return DONE_EVENTS[ChangeKind.REFUND]
    return DONE_EVENTS[change.kind]
