"""What the sweep does beside its checkouts: a sign of life, and forgetting what has served its time."""

from typing import Final

from sqlalchemy import Connection, text

from pipeline.settings import Settings

#: The HTTP edge keeps an answer for a day, as providers do; `idempotency_keys` is for ever.
ANSWER_HOURS: Final = 24

# Not more often than it is looked at: many sweeps at once write it once.
BEAT: Final = text("""
    INSERT INTO heartbeats AS h (name) VALUES ('sweep')
    ON CONFLICT (name) DO UPDATE SET at = now() WHERE h.at < now() - interval '0.5 seconds'
""")

FORGET_ANSWERS: Final = text("""
    DELETE FROM stored_responses
    WHERE (owner, key) IN (SELECT owner, key FROM stored_responses
                           WHERE created_at < now() - make_interval(hours => :hours)
                           ORDER BY created_at LIMIT :limit)
""")

FORGET_DELIVERIES: Final = text("""
    DELETE FROM webhook_deliveries
    WHERE id IN (SELECT id FROM webhook_deliveries
                 WHERE status = 'delivered' AND ended_at < now() - make_interval(days => :days)
                 ORDER BY ended_at LIMIT :limit)
""")

FORGET_REFUSED: Final = text("""
    DELETE FROM rejected_messages
    WHERE id IN (SELECT id FROM rejected_messages WHERE received_at < now() - make_interval(days => :days)
                 ORDER BY received_at LIMIT :limit)
""")

# Through the key, without an index that each webhook would have to keep up: a UUIDv7 begins with its milliseconds.
FORGET_INBOUND_WEBHOOKS: Final = text("""
    DELETE FROM webhook_inbox
    WHERE id IN (SELECT id FROM webhook_inbox
                 WHERE id < CAST(rpad(lpad(to_hex(CAST(extract(epoch FROM now() - make_interval(days => :days)) * 1000
                                                       AS bigint)), 12, '0'), 32, '0') AS uuid)
                   AND due_at IS NULL AND received_at < now() - make_interval(days => :days)
                 ORDER BY id LIMIT :limit)
""")

FORGET_SESSIONS: Final = text("""
    DELETE FROM admin_sessions
    WHERE token_hash IN (SELECT token_hash FROM admin_sessions WHERE expires_at < now()
                         ORDER BY expires_at LIMIT :limit)
""")


def record_heartbeat(connection: Connection) -> None:
    """Record that the sweep runs: `GET /health/checkout` reports when it does not."""
    connection.execute(BEAT)


def delete_expired(connection: Connection, settings: Settings) -> int:
    """Delete what has been kept for its time, at most a tick's worth of each; return how many rows.

    Old answers, deliveries that were taken, messages that were refused, webhooks that are settled, and sessions that
    are over.
    """
    limit = settings.sweep_limit
    gone = connection.execute(FORGET_ANSWERS, {"hours": ANSWER_HOURS, "limit": limit}).rowcount
    for statement, days in (
        (FORGET_DELIVERIES, settings.outbound_webhook_keep_days),
        (FORGET_REFUSED, settings.rejected_messages_keep_days),
        (FORGET_INBOUND_WEBHOOKS, settings.webhook_inbox_keep_days),
    ):
        gone += connection.execute(statement, {"days": days, "limit": limit}).rowcount
    return gone + connection.execute(FORGET_SESSIONS, {"limit": limit}).rowcount
