"""Expired, stuck, needs review, unknown: one definition each, as SQL over `checkouts`, `payments` and operations.

The sweep, the audit's invariants, health, diagnostics, statistics and metrics all use these. `bind_conditions` returns
the values that they bind.
"""

from typing import Final

from models.names import PARTITIONED, PARTITIONS_SCHEMA
from models.states import ACTIVE_SQL
from pipeline.settings import Settings

#: A gateway call whose outcome is unknown for longer than this needs an operator: a provider's bad minute is shorter.
UNKNOWN_SECONDS: Final = 300.0

#: A sweep that missed ten runs is late, one that missed sixty has stopped; with a short interval, so many seconds.
LATE_SWEEPS: Final = 10
STOPPED_SWEEPS: Final = 60


def _expires(moment: str) -> str:
    # A gateway call in flight is settled first; only then the checkout expires.
    return f"""(c.pivot_at IS NULL AND c.state IN ('running', 'awaiting_payment', 'action_required')
        AND c.expires_at <= {moment}
        AND NOT EXISTS (SELECT FROM payment_operations o
                        WHERE o.checkout_id = c.id AND o.status IN ('intended', 'unknown')))"""


_BOUND: Final = "now() - make_interval(secs => :bound_seconds)"

#: A checkout `c` that the sweep may expire now.
MAY_EXPIRE: Final = _expires("now()")
#: Expired: a checkout `c` that the sweep should have expired, and has not within its bound.
EXPIRED: Final = _expires(_BOUND)
#: Stuck: an active checkout `c` that is overdue by more than the sweep's bound. One in review waits for an operator.
STUCK: Final = f"""(c.state IN ({ACTIVE_SQL}) AND c.state <> 'needs_review' AND c.due_reason IS NOT NULL
        AND c.due_at < {_BOUND})"""
#: Needs review: a checkout `c` that the engine could not settle. The second condition is that of an index.
NEEDS_REVIEW: Final = f"(c.state = 'needs_review' AND c.state IN ({ACTIVE_SQL}))"
#: Needs review: a payment `p` whose checkout has ended.
PAYMENT_NEEDS_REVIEW: Final = "(p.review IS NOT NULL)"
#: Unknown: a gateway call `o` without an outcome for five minutes. The first condition is that of an index.
UNKNOWN: Final = """(o.status IN ('intended', 'unknown') AND o.status = 'unknown'
        AND o.created_at < now() - make_interval(secs => :unknown_seconds))"""

#: Was placed: an order `o`, also one that was cancelled since, which keeps its number.
WAS_PLACED: Final = "(o.state = 'placed' OR o.number IS NOT NULL)"

COUNT_EXPIRED: Final = f"SELECT count(*) FROM checkouts c WHERE {EXPIRED}"
COUNT_STUCK: Final = f"SELECT count(*) FROM checkouts c WHERE {STUCK}"
COUNT_NEEDS_REVIEW: Final = f"SELECT count(*) FROM checkouts c WHERE {NEEDS_REVIEW}"
COUNT_PAYMENTS_REVIEW: Final = f"SELECT count(*) FROM payments p WHERE {PAYMENT_NEEDS_REVIEW}"
COUNT_UNKNOWN: Final = f"SELECT count(*) FROM payment_operations o WHERE {UNKNOWN}"
#: Dead-lettered: an outbound webhook that no attempt could deliver.
COUNT_DEAD_LETTERED: Final = "SELECT count(*) FROM webhook_deliveries WHERE status = 'dead_lettered'"

#: Where the history begins that is not detached: older rows of a default partition have no other place.
FIRST_ATTACHED: Final = """coalesce((SELECT until_id FROM detached_months ORDER BY month DESC LIMIT 1),
        CAST('00000000-0000-0000-0000-000000000000' AS uuid))"""
#: Missing: a partition of this month or the next. Rows would go to the default partition.
COUNT_PARTITIONS_MISSING: Final = f"""
    SELECT count(*) FROM unnest(ARRAY[{", ".join(f"'{each}'" for each in PARTITIONED)}]) AS parent (name),
                         generate_series(0, 1) AS ahead (months)
    WHERE NOT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(parent.name) AND p.relname = parent.name || to_char(
            date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead.months), '_YYYY_MM'))
"""
#: Misplaced: a table with rows in its default partition that are of a month.
COUNT_PARTITIONS_MISPLACED: Final = "SELECT " + " + ".join(
    f"CAST(EXISTS (SELECT FROM {PARTITIONS_SCHEMA}.{each}_default WHERE checkout_id >= {FIRST_ATTACHED}) AS integer)"
    for each in PARTITIONED
)


def bound_seconds(settings: Settings) -> float:
    """Return how late a checkout may be before something is wrong.

    The sweep redelivers in any case after `redeliver_always_after_seconds`. The redelivered message may be lost too,
    twice, and the sweep may miss some runs.
    """
    waits = settings.redeliver_always_after_seconds + 2 * settings.redeliver_after_seconds
    return waits + 5 * settings.sweep_interval_seconds


def late_sweep_seconds(settings: Settings) -> float:
    """Return the age of the sweep's heartbeat from which it is late."""
    return max(LATE_SWEEPS, LATE_SWEEPS * settings.sweep_interval_seconds)


def stopped_sweep_seconds(settings: Settings) -> float:
    """Return the age of the sweep's heartbeat from which it has stopped."""
    return max(STOPPED_SWEEPS, STOPPED_SWEEPS * settings.sweep_interval_seconds)


def bind_conditions(settings: Settings) -> dict[str, float]:
    """Return the values that the conditions bind."""
    return {"bound_seconds": bound_seconds(settings), "unknown_seconds": UNKNOWN_SECONDS}
