"""The events of an owner in an order without gaps, for readers that go on where they stopped.

Ids are drawn before they are committed: an id may commit after a higher one, and a reader that is past it would never
see it. So the feed is in the order of the transactions that wrote the events, and ends before the oldest one that is
still running anywhere in the database. The ids of transactions belong to one database cluster, standbys included: after
a restore from a dump they begin anew.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.errors import Code, Invalid
from pipeline.security.redaction import open_part

#: The largest page.
MAX_PAGE: Final = 500

_CURSOR: Final = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")
_LARGEST: Final = 2**63 - 1

READ: Final = text("""
    SELECT e.id, CAST(CAST(e.transaction_id AS text) AS bigint) AS transaction, e.kind, e.phase, e.data, e.at,
           e.checkout_id, c.reference, o.id AS order_id, o.number AS order_number
    FROM events e JOIN checkouts c ON c.id = e.checkout_id
    LEFT JOIN orders o ON o.checkout_id = e.checkout_id AND o.number IS NOT NULL
    WHERE e.owner = :owner
      AND (e.transaction_id, e.id) > (CAST(CAST(:transaction AS text) AS xid8), CAST(:id AS bigint))
      AND e.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY e.transaction_id, e.id LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event. `cursor` is where a reader goes on after it."""

    id: str
    cursor: str
    kind: str
    at: datetime
    checkout_id: UUID
    reference: str | None
    order_id: UUID | None
    order_number: int | None
    phase: str | None
    data: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events, oldest first. `next` is where the next page begins, also when this one is empty."""

    events: tuple[FeedEvent, ...]
    next: str


def read_feed(connection: Connection, owner: str, *, after: str | None = None, limit: int = 100) -> FeedPage:
    """Return the events of an owner after a cursor, from the beginning without one.

    Raises Invalid (REQUEST_INVALID) for a cursor that is none.
    """
    transaction, id_ = _read_cursor(after)
    size = max(1, min(limit, MAX_PAGE))
    rows = connection.execute(READ, {"owner": owner, "transaction": transaction, "id": id_, "limit": size})
    events = tuple(
        FeedEvent(
            id=f"evt_{row.id}",
            cursor=f"{row.transaction}-{row.id}",
            kind=row.kind,
            at=row.at,
            checkout_id=row.checkout_id,
            reference=row.reference,
            order_id=row.order_id,
            order_number=row.order_number,
            phase=row.phase,
            data=_open(row.data),
        )
        for row in rows
    )
    return FeedPage(events, events[-1].cursor if events else f"{transaction}-{id_}")


def _read_cursor(after: str | None) -> tuple[int, int]:
    if after is None:
        return 0, 0
    found = _CURSOR.fullmatch(after)
    if found is None or max(int(found[1]), int(found[2])) > _LARGEST:
        raise Invalid(Code.REQUEST_INVALID, reason="after is not the `next` or a `cursor` of this feed")
    return int(found[1]), int(found[2])


def _open(data: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the facts without what only the buyer may have: the secret of a 3-D Secure action."""
    if data is None or not isinstance(data.get("action"), dict):
        return data
    return {**data, "action": open_part(data["action"])}
