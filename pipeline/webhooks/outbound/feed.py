"""The feed of an owner's events: all of them, in an order without gaps.

Ids are drawn before their transactions commit: a reader who is past an id would never see a lower one that commits
later. So the order is that of transactions, and nothing is shown of a transaction that is as new as the oldest one
still running: all that are older have committed, or never will. A transaction that is left open anywhere on the server
holds the feed back, and loses nothing.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.errors import Code, Invalid
from pipeline.field_types.cursors import read_cursor, write_cursor
from pipeline.security.redaction import open_part

#: The usual and the largest page.
USUAL_PAGE: Final = 100
MAX_PAGE: Final = 500
#: What the facts of one page may take where they are stored, compressed; one event is shown in any case. Those of an
#: order of 5,000 lines take some 50 kB there, and ten times as much as JSON.
MAX_STORED_BYTES: Final = 512 * 1024
#: Instead of a cursor: after everything that is there now.
NOW: Final = "now"

_LAYOUT: Final = struct.Struct(">QQ")
#: Ids are less: they are PostgreSQL's bigint.
_ID_LIMIT: Final = 2**63

HORIZON: Final = text("""
    SELECT CAST(CAST(pg_snapshot_xmin(s) AS text) AS numeric) AS oldest,
           CAST(CAST(pg_snapshot_xmax(s) AS text) AS numeric) AS next,
           (SELECT CAST(max(month) + interval '1 month' AS date) FROM detached_months) AS detached_until
    FROM pg_current_snapshot() s
""")

# The index has the order: a page costs the same wherever it is.
EVENTS: Final = text("""
    SELECT f.id, CAST(f.transaction_id AS text) AS transaction_id, f.kind, f.phase, f.data, f.at, f.checkout_id,
           f.found, o.id AS order_id, o.number AS order_number
    FROM (
        SELECT e.*, sum(coalesce(pg_column_size(e.data), 0)) OVER (ORDER BY e.transaction_id, e.id)
                    - coalesce(pg_column_size(e.data), 0) AS bytes_before,
               count(*) OVER () AS found
        FROM (
            SELECT * FROM events
            WHERE owner = :owner AND (transaction_id, id) > (CAST(:transaction_id AS xid8), :id)
              AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
            ORDER BY transaction_id, id LIMIT :size
        ) e
    ) f
    LEFT JOIN orders o ON o.checkout_id = f.checkout_id AND o.number IS NOT NULL
    WHERE f.bytes_before < :bytes
    ORDER BY f.transaction_id, f.id
""")


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event. `data` has no secret; the order is the one that the checkout has become, if it has."""

    id: int
    kind: str
    at: datetime
    checkout_id: UUID
    order_id: UUID | None
    order_number: int | None
    phase: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Some events. `next_after` is the cursor after them, also when there are none.

    `detached_until`: events of checkouts that began before this day are in an archive, and not here.
    """

    events: Sequence[FeedEvent]
    next_after: str
    has_more: bool
    detached_until: date | None


@dataclass(frozen=True, slots=True)
class _Position:
    """After this event."""

    transaction_id: int = 0
    id: int = 0

    def write(self) -> str:
        return write_cursor(_LAYOUT.pack(self.transaction_id, self.id))


def read_feed(connection: Connection, owner: str, *, after: str | None = None, limit: int = USUAL_PAGE) -> FeedPage:
    """Return the events of an owner after a cursor of this feed, oldest first; without one from the beginning.

    Raises Invalid for a text that is no cursor, and for one of another database.
    """
    size = max(1, min(limit, MAX_PAGE))
    horizon = connection.execute(HORIZON).one()
    position = _Position(int(horizon.oldest)) if after == NOW else _read_position(after)
    if position.transaction_id > horizon.next or position.id >= _ID_LIMIT:
        reason = "after is a cursor of another database: read from the beginning, and leave out the ids that you have"
        raise Invalid(Code.REQUEST_INVALID, reason=reason)
    wanted = {"transaction_id": str(position.transaction_id), "id": position.id}
    rows = connection.execute(EVENTS, {"owner": owner, **wanted, "size": size + 1, "bytes": MAX_STORED_BYTES}).all()
    shown = rows[:size]
    if shown:
        position = replace(position, transaction_id=int(shown[-1].transaction_id), id=shown[-1].id)
    return FeedPage(
        events=tuple(
            FeedEvent(
                id=row.id,
                kind=row.kind,
                at=row.at,
                checkout_id=row.checkout_id,
                order_id=row.order_id,
                order_number=row.order_number,
                phase=row.phase,
                data=_open(row.data or {}),
            )
            for row in shown
        ),
        next_after=position.write(),
        has_more=bool(shown) and shown[0].found > len(shown),
        detached_until=horizon.detached_until,
    )


def _open(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts of an event without the secrets of a payment: events of earlier releases may have one."""
    action = data.get("action")
    return {**data, "action": open_part(action)} if isinstance(action, dict) else data


def _read_position(cursor: str | None) -> _Position:
    if cursor is None:
        return _Position()
    return _Position(*_LAYOUT.unpack(read_cursor(cursor, size=_LAYOUT.size, of="feed")))
