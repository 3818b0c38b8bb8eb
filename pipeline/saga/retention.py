"""What the sweep does beside its checkouts: it records its heartbeat and deletes expired rows."""

from typing import Final

from sqlalchemy import Connection, text

from models.cells import HEARTBEAT
from pipeline.settings import Settings

#: A stored response is kept for a day, as at providers; rows of `idempotency_keys` are kept for ever.
RESPONSE_HOURS: Final = 24

# At most every half second: many sweeps at once write it once.
RECORD_HEARTBEAT: Final = text("""
    INSERT INTO heartbeats AS h (name) SELECT unnest(CAST(:names AS text[]))
    ON CONFLICT (name) DO UPDATE SET at = now() WHERE h.at < now() - interval '0.5 seconds'
""")

DELETE_RESPONSES: Final = text("""
    DELETE FROM stored_responses
    WHERE (owner, key) IN (SELECT owner, key FROM stored_responses
                           WHERE created_at < now() - make_interval(hours => :hours)
                           ORDER BY created_at LIMIT :limit)
""")

DELETE_DELIVERIES: Final = text("""
    DELETE FROM webhook_deliveries
    WHERE id IN (SELECT id FROM webhook_deliveries
                 WHERE status = 'delivered' AND ended_at < now() - make_interval(days => :days)
                 ORDER BY ended_at LIMIT :limit)
""")

DELETE_REJECTED_MESSAGES: Final = text("""
    DELETE FROM rejected_messages
    WHERE id IN (SELECT id FROM rejected_messages WHERE received_at < now() - make_interval(days => :days)
                 ORDER BY received_at LIMIT :limit)
""")

# By the primary key, without an index that each webhook would have to update: a UUIDv7 begins with its milliseconds.
DELETE_INBOUND_WEBHOOKS: Final = text("""
    DELETE FROM webhook_inbox
    WHERE id IN (SELECT id FROM webhook_inbox
                 WHERE id < CAST(rpad(lpad(to_hex(CAST(extract(epoch FROM now() - make_interval(days => :days)) * 1000
                                                       AS bigint)), 12, '0'), 32, '0') AS uuid)
                   AND due_at IS NULL AND received_at < now() - make_interval(days => :days)
                 ORDER BY id LIMIT :limit)
""")

DELETE_SESSIONS: Final = text("""
    DELETE FROM admin_sessions
    WHERE token_hash IN (SELECT token_hash FROM admin_sessions WHERE expires_at < now()
                         ORDER BY expires_at LIMIT :limit)
""")


def record_heartbeat(connection: Connection, cell: str = "") -> None:
    """Record that the sweep runs: `GET /health/checkout` reports when it does not.

    In a cell also its name, with which `checkout cells move` compares the one that it is given.
    """
    connection.execute(RECORD_HEARTBEAT, {"names": ["sweep", *([HEARTBEAT + cell] if cell else [])]})


def delete_expired(connection: Connection, settings: Settings) -> int:
    """Delete rows past their retention, at most `sweep_limit` of each table; return how many.

    Stored responses, delivered webhooks, rejected messages, settled inbound webhooks, and expired admin sessions.
    """
    limit = settings.sweep_limit
    deleted = connection.execute(DELETE_RESPONSES, {"hours": RESPONSE_HOURS, "limit": limit}).rowcount
    for statement, days in (
        (DELETE_DELIVERIES, settings.outbound_webhook_keep_days),
        (DELETE_REJECTED_MESSAGES, settings.rejected_messages_keep_days),
        (DELETE_INBOUND_WEBHOOKS, settings.webhook_inbox_keep_days),
    ):
        deleted += connection.execute(statement, {"days": days, "limit": limit}).rowcount
    return deleted + connection.execute(DELETE_SESSIONS, {"limit": limit}).rowcount
