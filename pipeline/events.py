"""The audit trail: one row per thing that happened, written once per batch."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

INSERT: Final = text("""
    INSERT INTO events (checkout_id, kind, phase, data)
    SELECT id, :kind, :phase, CAST(data AS jsonb)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:data AS text[])) AS happened (id, data)
""")


def write_events(
    connection: Connection,
    kind: str,
    checkout_ids: Sequence[UUID],
    *,
    phase: str | None = None,
    data: Mapping[UUID, Mapping[str, Any]] | None = None,
) -> None:
    """Append one event of this kind for each checkout; `data` holds the facts of those that have any."""
    if not checkout_ids:
        return
    facts = data or {}
    connection.execute(
        INSERT,
        {
            "kind": kind,
            "phase": phase,
            "ids": list(checkout_ids),
            "data": [json.dumps(facts[each], default=str) if facts.get(each) else None for each in checkout_ids],
        },
    )
