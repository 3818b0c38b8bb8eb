"""The audit trail: one row per event, written once per batch, and the outbox for outbound webhooks.

Most events follow from a change of rows. Then both are one statement, and one round trip.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from pipeline.database.wake_ups import wake_after_commit

#: Kinds of events that are sent to endpoints, under these names.
PUBLIC_KINDS: Final = (
    "checkout.started",
    "checkout.phase_completed",
    "checkout.action_required",
    "checkout.completed",
    "checkout.failed",
    "checkout.cancelled",
    "checkout.expired",
    "checkout.needs_review",
    "order.placed",
    "order.cancelled",
    "order.refunded",
    "order.refund_failed",
    "order.restocked",
    "order.fulfilled",
    "order.disputed",
)
#: Of an endpoint, in place of kinds: all of them, also those of later releases.
EVERY_KIND: Final = "*"

#: After these a checkout has reached a stable state: its long polls are answered.
STABLE_KINDS: Final = frozenset(
    {"checkout.awaiting_payment", "payment.declined", *(kind for kind in PUBLIC_KINDS if kind.startswith("checkout."))}
    - {"checkout.started", "checkout.phase_completed"}
)

# The events, and one delivery of each public event to each endpoint that has its kind.
_APPEND: Final = """
    written AS (
        INSERT INTO events (checkout_id, kind, phase, data, owner)
        SELECT h.id, h.kind, h.phase, CAST(h.data AS jsonb), c.owner
        FROM unnest(CAST(:event_ids AS uuid[]), CAST(:event_kinds AS text[]), CAST(:event_phases AS text[]),
                    CAST(:event_data AS text[])) WITH ORDINALITY AS h (id, kind, phase, data, place)
        JOIN {checkouts} c ON c.id = h.id
        ORDER BY h.place
        RETURNING id, checkout_id, kind, owner
    ), due AS (
        INSERT INTO webhook_deliveries (checkout_id, event_id, endpoint_id)
        SELECT w.checkout_id, w.id, e.id FROM written w
        JOIN webhook_endpoints e ON e.active AND (e.owner IS NULL OR e.owner = w.owner)
            AND e.kinds && ARRAY[w.kind, '*']
        WHERE w.kind = ANY(CAST(:public_kinds AS text[]))
    )
"""
_WRITE: Final = f"{_APPEND.format(checkouts='checkouts')} SELECT"

WRITE: Final = text(f"WITH {_WRITE}")


@dataclass(frozen=True, slots=True)
class Happened:
    """Events of one kind: one for each of these checkouts. `data` holds the facts of those that have any."""

    kind: str
    checkout_ids: Sequence[UUID]
    phase: str | None = None
    data: Mapping[UUID, Mapping[str, Any]] = field(default_factory=dict)


def with_events(change: str) -> TextClause:
    """Return a statement for `execute_with_events`, from a change that returns nothing.

    Both parts see the rows as they were before the change.
    """
    return text(f"WITH changed AS ({change}), {_WRITE}")


def append_events(checkouts: str) -> str:
    """Return the parts `written` and `due` of a statement that itself inserts the checkouts, for `bind_events`.

    It does not see the rows that it inserts: `checkouts` names a part of it that has their `id` and `owner`.
    """
    return _APPEND.format(checkouts=checkouts)


def execute_with_events(
    connection: Connection, change: TextClause, parameters: Mapping[str, Any], *happened: Happened
) -> None:
    """Execute a statement of `with_events` and append its events, in one round trip.

    Public kinds add their deliveries: all of it commits, or nothing. Stable kinds wake the long polls after that.
    """
    connection.execute(change, {**parameters, **bind_events(happened)})
    _wake(connection, happened)


def write_events(
    connection: Connection,
    kind: str,
    checkout_ids: Sequence[UUID],
    *,
    phase: str | None = None,
    data: Mapping[UUID, Mapping[str, Any]] | None = None,
) -> None:
    """Append one event of this kind for each checkout, as `execute_with_events` does beside a change."""
    if checkout_ids:
        happened = [Happened(kind, checkout_ids, phase, data or {})]
        connection.execute(WRITE, bind_events(happened))
        _wake(connection, happened)


def bind_events(happened: Sequence[Happened]) -> dict[str, Any]:
    """Return the parameters of a statement that appends these events."""
    return {
        "event_ids": [id_ for each in happened for id_ in each.checkout_ids],
        "event_kinds": [each.kind for each in happened for _ in each.checkout_ids],
        "event_phases": [each.phase for each in happened for _ in each.checkout_ids],
        "event_data": [
            json.dumps(each.data[id_], default=str) if each.data.get(id_) else None
            for each in happened
            for id_ in each.checkout_ids
        ],
        "public_kinds": [each.kind for each in happened if each.kind in PUBLIC_KINDS],
    }


def _wake(connection: Connection, happened: Sequence[Happened]) -> None:
    wake_after_commit(connection, [id_ for each in happened if each.kind in STABLE_KINDS for id_ in each.checkout_ids])
