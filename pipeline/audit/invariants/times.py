"""No checkout is stuck, and each ended one has one ending event."""

from typing import Final

from pipeline.audit.invariants.detached import IS_ATTACHED
from pipeline.checkouts.conditions import EXPIRED, STUCK
from pipeline.database.invariant import Invariant

TIMES: Final = (
    Invariant(
        "active_has_a_due_time",
        "A running or unwinding checkout has a time at which the sweep checks it.",
        """
        SELECT id AS checkout_id, state, phase FROM checkouts
        WHERE state IN ('running', 'unwinding') AND due_at IS NULL
        """,
        by_checkout=True,
    ),
    Invariant(
        "nothing_is_overdue",
        "No active checkout is past its due time by more than the sweep's bound, unless its message waits in a queue.",
        f"""
        SELECT id AS checkout_id, state, phase, due_at, due_reason,
               round(extract(epoch FROM now() - due_at)) AS late_seconds
        FROM checkouts c WHERE {STUCK} AND id <> ALL (CAST(:queued AS uuid[]))
        """,
        by_checkout=True,
    ),
    Invariant(
        "reservations_expire",
        "No checkout keeps its reservation past its expiry by more than the sweep's bound.",
        f"""
        SELECT id AS checkout_id, state, expires_at, round(extract(epoch FROM now() - expires_at)) AS late_seconds
        FROM checkouts c WHERE {EXPIRED}
        """,
        by_checkout=True,
    ),
    Invariant(
        "one_ending_event",
        "An ended checkout has one ending event, of its own kind; an active one has none.",
        f"""
        SELECT checkout_id, c.state, e.kinds
        FROM (SELECT id AS checkout_id, state, ended_at FROM checkouts) c
        LEFT JOIN (SELECT checkout_id, array_agg(kind ORDER BY id) AS kinds FROM events
                   WHERE kind IN ('checkout.completed', 'checkout.failed', 'checkout.cancelled', 'checkout.expired')
                   GROUP BY checkout_id) e USING (checkout_id)
        WHERE e.kinds IS DISTINCT FROM CASE WHEN c.ended_at IS NOT NULL THEN ARRAY['checkout.' || c.state] END
          AND {IS_ATTACHED}
        """,
        by_checkout=True,
    ),
)
