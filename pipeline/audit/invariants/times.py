"""Nothing is stuck, and everything that ended says so once."""

from typing import Final

from pipeline.audit.invariants.invariant import Promise

TIMES: Final = (
    Promise(
        "active_has_a_due_time",
        "A checkout that is being worked on has a time at which the sweep looks after it.",
        """
        SELECT id AS checkout_id, state, phase FROM checkouts
        WHERE state IN ('running', 'unwinding') AND due_at IS NULL
        """,
    ),
    Promise(
        "nothing_is_overdue",
        "No active checkout is past its due time by more than the sweep's bound, unless its message waits in a queue.",
        """
        SELECT id AS checkout_id, state, phase, due_at, due_reason,
               round(extract(epoch FROM now() - due_at)) AS late_seconds
        FROM checkouts
        WHERE due_reason IS NOT NULL AND ended_at IS NULL AND state <> 'needs_review'
          AND due_at < now() - make_interval(secs => :bound_seconds) AND id <> ALL (CAST(:queued AS uuid[]))
        """,
    ),
    Promise(
        "holds_expire",
        "No checkout waits for its buyer past its expiry by more than the sweep's bound.",
        """
        SELECT id AS checkout_id, state, expires_at, round(extract(epoch FROM now() - expires_at)) AS late_seconds
        FROM checkouts
        WHERE pivot_at IS NULL AND state IN ('awaiting_payment', 'action_required')
          AND expires_at < now() - make_interval(secs => :bound_seconds)
        """,
    ),
    Promise(
        "one_ending_event",
        "An ended checkout has one ending event, of its own kind; an active one has none.",
        """
        SELECT c.id AS checkout_id, c.state, e.kinds
        FROM checkouts c
        LEFT JOIN (SELECT checkout_id, array_agg(kind ORDER BY id) AS kinds FROM events
                   WHERE kind IN ('checkout.completed', 'checkout.failed', 'checkout.cancelled', 'checkout.expired')
                   GROUP BY checkout_id) e ON e.checkout_id = c.id
        WHERE e.kinds IS DISTINCT FROM CASE WHEN c.ended_at IS NOT NULL THEN ARRAY['checkout.' || c.state] END
        """,
    ),
)
