"""Replays all events since a moment: those that were delivered or dead-lettered, and those of before an endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text

from pipeline.checkouts.events import PUBLIC_KINDS
from pipeline.database import transaction
from pipeline.errors import Code, Invalid

#: Deliveries of one transaction: it takes tenths of a second, and workers that deliver wait for no longer.
BATCH: Final = 1000

#: Its transaction is idle while a batch is written.
PATIENT: Final = text("SET LOCAL idle_in_transaction_session_timeout = 0")

# Times of events are in blocks, by an index of some pages: a replay of an hour reads the events of the hour.
WANTED: Final = text("""
    SELECT e.checkout_id, e.id AS event_id, p.id AS endpoint_id FROM events e
    JOIN webhook_endpoints p ON p.active AND (p.owner IS NULL OR p.owner = e.owner) AND p.kinds && ARRAY[e.kind, '*']
    WHERE e.at >= :since AND e.kind = ANY(CAST(:kinds AS text[]))
      AND (CAST(:endpoint_id AS uuid) IS NULL OR p.id = :endpoint_id)
""")

#: What a batch would do.
LOOK: Final = text("""
    SELECT coalesce(d.status, 'missing') AS status
    FROM unnest(CAST(:event_ids AS bigint[]), CAST(:endpoint_ids AS uuid[])) AS w (event_id, endpoint_id)
    LEFT JOIN webhook_deliveries d ON d.event_id = w.event_id AND d.endpoint_id = w.endpoint_id
""")

# A pending one will be made anyway.
WRITE: Final = text("""
    INSERT INTO webhook_deliveries AS d (checkout_id, event_id, endpoint_id)
    SELECT * FROM unnest(CAST(:checkout_ids AS uuid[]), CAST(:event_ids AS bigint[]), CAST(:endpoint_ids AS uuid[]))
    ON CONFLICT (event_id, endpoint_id) DO UPDATE
    SET status = 'pending', attempts = 0, due_at = now(), ended_at = NULL, created_at = now()
    WHERE d.status <> 'pending'
    RETURNING CASE WHEN d.xmax = 0 THEN 'missing' ELSE 'ended' END AS status
""")


@dataclass(frozen=True, slots=True)
class ReplayCount:
    """Deliveries that are made again, and those that are made for the first time."""

    repeated: int = 0
    created: int = 0

    def add(self, statuses: Sequence[str]) -> "ReplayCount":
        """Return the sum with those of a batch, by what they were."""
        created = statuses.count("missing")
        pending = statuses.count("pending")
        return ReplayCount(self.repeated + len(statuses) - created - pending, self.created + created)


def replay_since(
    engine: Engine,
    since: datetime,
    *,
    endpoint_id: UUID | None = None,
    kinds: Sequence[str] = (),
    dry_run: bool = False,
) -> ReplayCount:
    """Replay the events since a moment, to one endpoint or to all, of some kinds or of all that each endpoint gets.

    What an endpoint did not get because it was added later is delivered too. In batches, each in its own transaction:
    when it is interrupted, a repeat goes over all of it again. With `dry_run` only the count is returned. Raises
    Invalid for a kind that is not delivered.
    """
    if unknown := sorted(set(kinds) - set(PUBLIC_KINDS)):
        reason = f"{', '.join(unknown)} is none of the events {', '.join(PUBLIC_KINDS)}"
        raise Invalid(Code.ENDPOINT_INVALID, reason=reason)
    wanted = {"since": since, "kinds": list(kinds or PUBLIC_KINDS), "endpoint_id": endpoint_id}
    count = ReplayCount()
    with engine.connect() as reader:
        reader.execute(PATIENT)
        rows = reader.execution_options(stream_results=True, max_row_buffer=BATCH).execute(WANTED, wanted)
        for batch in rows.partitions(BATCH):
            with transaction(engine) as connection:
                count = count.add(_apply(connection, batch, dry_run=dry_run))
    return count


def _apply(connection: Connection, batch: Sequence[Row[Any]], *, dry_run: bool) -> list[str]:
    given = {
        "event_ids": [row.event_id for row in batch],
        "endpoint_ids": [row.endpoint_id for row in batch],
    }
    if dry_run:
        return list(connection.execute(LOOK, given).scalars())
    given["checkout_ids"] = [row.checkout_id for row in batch]
    return list(connection.execute(WRITE, given).scalars())
