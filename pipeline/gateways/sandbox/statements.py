"""The bank's SQL: one statement for a whole group of requests, whatever its size."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from models.states import PaymentStatus
from pipeline.gateways.sandbox.rules import LedgerEntry, PaymentObject

#: Seed of the locks on keys, so that no other advisory lock in the database has the same number.
KEY_LOCKS: Final = 7_266_279

# Locked until the commit: a key that cannot be locked has another call running.
LOCK_KEYS: Final = text(
    "SELECT key FROM unnest(CAST(:keys AS text[])) AS key WHERE pg_try_advisory_xact_lock(hashtextextended(key, :seed))"
)

READ_KEYS: Final = text(
    "SELECT key, fingerprint, calls, answer, extract(epoch FROM clock_timestamp() - created_at)::float8 AS age_seconds"
    " FROM sandbox.requests WHERE key = ANY(CAST(:keys AS text[]))"
)

LOCK_OBJECTS: Final = text(
    "SELECT reference, checkout_id, currency, amount_minor, status, authorized_minor, captured_minor, refunded_minor,"
    " authorized_until, clock_timestamp() AS now"
    " FROM sandbox.payments WHERE reference = ANY(CAST(:references AS text[])) ORDER BY reference FOR NO KEY UPDATE"
)

# A statement of its own: it must see what was committed while LOCK_OBJECTS waited.
READ_LAST_ENTRIES: Final = text(
    "SELECT DISTINCT ON (reference) reference, kind FROM sandbox.entries"
    " WHERE reference = ANY(CAST(:references AS text[])) ORDER BY reference, id DESC"
)

WRITE: Final = text(
    """
    WITH requested AS (
        INSERT INTO sandbox.requests (key, fingerprint, calls, answer)
        SELECT * FROM jsonb_to_recordset(CAST(:requests AS jsonb))
            AS r (key text, fingerprint text, calls integer, answer jsonb)
        ON CONFLICT (key) DO UPDATE SET calls = excluded.calls, answer = excluded.answer
    ), stored AS (
        INSERT INTO sandbox.payments (reference, checkout_id, currency, amount_minor, status, authorized_minor,
                                      captured_minor, refunded_minor, authorized_until)
        SELECT * FROM jsonb_to_recordset(CAST(:objects AS jsonb))
            AS r (reference text, checkout_id uuid, currency text, amount_minor bigint, status text,
                  authorized_minor bigint, captured_minor bigint, refunded_minor bigint,
                  authorized_until timestamptz)
        ON CONFLICT (reference) DO UPDATE SET status = excluded.status,
            authorized_minor = excluded.authorized_minor, captured_minor = excluded.captured_minor,
            refunded_minor = excluded.refunded_minor, authorized_until = excluded.authorized_until
    )
    INSERT INTO sandbox.entries (reference, kind, amount_minor)
    SELECT * FROM jsonb_to_recordset(CAST(:entries AS jsonb)) AS r (reference text, kind text, amount_minor bigint)
    """
)

#: An object's columns are its fields. `asdict` copies deeply: 40 us an object, where this takes one.
COLUMNS: Final = tuple(field.name for field in fields(PaymentObject))


@dataclass(frozen=True, slots=True)
class SeenKey:
    """A key that the bank has seen. `answer` is None while it had no effect; `age_seconds` since its first call."""

    key: str
    fingerprint: str
    calls: int
    answer: dict[str, Any] | None = None
    age_seconds: float = 0


def lock_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Lock the keys that are free, until the commit; never waits."""
    return set(connection.execute(LOCK_KEYS, {"keys": list(keys), "seed": KEY_LOCKS}).scalars())


def read_keys(connection: Connection, keys: Collection[str]) -> dict[str, SeenKey]:
    """Return what is known of these keys."""
    return {row.key: SeenKey(*row) for row in connection.execute(READ_KEYS, {"keys": list(keys)})}


def lock_objects(
    connection: Connection, references: Collection[str]
) -> tuple[dict[str, PaymentObject], datetime | None]:
    """Lock these objects, always in one order; return them, and the database's time if any exist."""
    rows = connection.execute(LOCK_OBJECTS, {"references": list(references)}).all()
    found = {
        row.reference: PaymentObject(
            row.reference,
            row.checkout_id,
            row.currency,
            row.amount_minor,
            PaymentStatus(row.status),
            row.authorized_minor,
            row.captured_minor,
            row.refunded_minor,
            row.authorized_until,
        )
        for row in rows
    }
    return found, rows[-1].now if rows else None


def read_refused(connection: Connection, references: Collection[str]) -> set[str]:
    """Return those of these objects with the buyer's refusal as their last ledger line."""
    rows = connection.execute(READ_LAST_ENTRIES, {"references": list(references)})
    return {row.reference for row in rows if row.kind == "refuse"}


def write_group(
    connection: Connection,
    keys: Mapping[str, SeenKey],
    objects: Mapping[str, PaymentObject],
    entries: Collection[LedgerEntry],
) -> None:
    """Write all that a group has changed, in one round trip."""
    requests = [
        {"key": seen.key, "fingerprint": seen.fingerprint, "calls": seen.calls, "answer": seen.answer}
        for seen in keys.values()
    ]
    rows = [{name: getattr(held, name) for name in COLUMNS} for held in objects.values()]
    lines = [{"reference": line.reference, "kind": line.kind, "amount_minor": line.amount_minor} for line in entries]
    # `default=str` writes ids and times as text.
    values = {
        "requests": json.dumps(requests),
        "objects": json.dumps(rows, default=str),
        "entries": json.dumps(lines),
    }
    connection.execute(WRITE, values)
