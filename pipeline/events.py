"""The audit trail: one row per thing that happened, written once per batch, with what others are told of it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

#: Told to endpoints that ask for them, under these names.
PUBLIC_KINDS: Final = (
    "checkout.started",
    "checkout.phase_completed",
    "checkout.action_required",
    "checkout.completed",
    "checkout.failed",
    "checkout.cancelled",
    "checkout.expired",
    "checkout.needs_review",
)

#: After these a checkout moves no further by itself: whoever waits for it is woken.
RESTING_KINDS: Final = frozenset(
    {"checkout.awaiting_payment", "payment.declined", *PUBLIC_KINDS} - {"checkout.started", "checkout.phase_completed"}
)

#: Where those who wait listen; a payload is checkout ids with commas between them.
CHANNEL: Final = "checkout_rested"
#: PostgreSQL takes payloads below 8,000 bytes; an id and its comma have 37.
IDS_PER_PAYLOAD: Final = 200

_INSERT: Final = """
    INSERT INTO events (checkout_id, kind, phase, data)
    SELECT id, :kind, :phase, CAST(data AS jsonb)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:data AS text[])) AS happened (id, data)
"""
INSERT: Final = text(_INSERT)

# In one round trip: the events, one delivery for each endpoint that wants to know, and the wake-up at commit.
INSERT_AND_TELL: Final = text(f"""
    WITH written AS ({_INSERT} RETURNING id, checkout_id), due AS (
        INSERT INTO webhook_deliveries (event_id, endpoint_id)
        SELECT w.id, e.id FROM written w JOIN checkouts c ON c.id = w.checkout_id
        JOIN webhook_endpoints e ON e.active AND :kind = ANY(e.kinds) AND (e.owner IS NULL OR e.owner = c.owner)
    )
    SELECT pg_notify('{CHANNEL}', payload) FROM unnest(CAST(:payloads AS text[])) AS woken (payload)
""")


def write_events(
    connection: Connection,
    kind: str,
    checkout_ids: Sequence[UUID],
    *,
    phase: str | None = None,
    data: Mapping[UUID, Mapping[str, Any]] | None = None,
) -> None:
    """Append one event of this kind for each checkout; `data` holds the facts of those that have any.

    With a public kind come its deliveries, with one that a waiter waits for its wake-up: all of it commits, or nothing.
    """
    if not checkout_ids:
        return
    facts = data or {}
    happened = {
        "kind": kind,
        "phase": phase,
        "ids": list(checkout_ids),
        "data": [json.dumps(facts[each], default=str) if facts.get(each) else None for each in checkout_ids],
    }
    if kind in PUBLIC_KINDS or kind in RESTING_KINDS:
        connection.execute(INSERT_AND_TELL, {**happened, "payloads": _payloads(kind, checkout_ids)})
    else:
        connection.execute(INSERT, happened)


def _payloads(kind: str, checkout_ids: Sequence[UUID]) -> list[str]:
    if kind not in RESTING_KINDS:
        return []
    starts = range(0, len(checkout_ids), IDS_PER_PAYLOAD)
    return [",".join(str(each) for each in checkout_ids[start : start + IDS_PER_PAYLOAD]) for start in starts]
