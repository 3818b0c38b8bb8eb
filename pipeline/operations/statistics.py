"""Figures for operators: what is active now, and what ended in the last hours.

Every query reads active rows or a window of ended ones through an index, so that its cost does not grow with the ended
checkouts. Ages and times are by the database's clock.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from models.states import ACTIVE_SQL, CheckoutState
from pipeline.checkouts.conditions import (
    COUNT_DEAD_LETTERED,
    COUNT_EXPIRED,
    COUNT_NEEDS_REVIEW,
    COUNT_UNKNOWN,
    STUCK,
    bind_conditions,
)
from pipeline.messaging import DELIVERIES, INTAKE, RESOLVE, SWEEP, UNWIND, WEBHOOKS
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.orders.reading.figures import OrderFigures, read_order_figures
from pipeline.saga import get_chain
from pipeline.saga.slow import SLOW_COUNT
from pipeline.settings import Settings

#: Codes shown by name; the rest is one figure. A healthy shop has fewer.
TOP_CODES: Final = 10

ACTIVE: Final = text(f"""
    SELECT state, phase, count(*) AS checkouts,
           CAST(extract(epoch FROM now() - min(coalesce(sent_at, created_at))) AS float8) AS oldest_seconds,
           count(*) FILTER (WHERE {STUCK}) AS stuck
    FROM checkouts c WHERE state IN ({ACTIVE_SQL}) GROUP BY state, phase
""")

ENDED: Final = text("""
    SELECT state, failure_code, count(*) AS checkouts FROM checkouts
    WHERE ended_at > now() - make_interval(secs => :window_seconds) GROUP BY state, failure_code
""")

DURATION: Final = text("""
    SELECT CAST(percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS float8) AS p50_seconds,
           CAST(percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS float8) AS p95_seconds,
           CAST(avg(seconds) AS float8) AS average_seconds
    FROM (SELECT CAST(extract(epoch FROM ended_at - created_at) AS float8) AS seconds FROM checkouts
          WHERE ended_at > now() - make_interval(secs => :window_seconds) AND state = 'completed') AS completed
    HAVING count(*) > 0
""")

#: The window of a rate.
RATE_SECONDS: Final = 60

# Through the index on time, which knows blocks and not rows: some blocks of the newest.
RATES: Final = text(f"""
    SELECT phase, count(*) AS completed FROM events
    WHERE kind = 'checkout.phase_completed' AND at > now() - make_interval(secs => {RATE_SECONDS}) GROUP BY phase
""")

# Each of these is a handful of rows of a partial index, or of the window.
FIGURES: Final = text(f"""
    SELECT now() AS at, held.lines AS held_lines, held.units AS held_units,
           ({COUNT_EXPIRED}) AS expired, ({COUNT_NEEDS_REVIEW}) AS needs_review,
           ({COUNT_UNKNOWN}) AS payments_unknown,
           (SELECT count(*) FROM redemptions r JOIN checkouts c ON c.id = r.checkout_id
            WHERE r.returned_at IS NULL AND c.state IN ({ACTIVE_SQL})) AS coupons_held,
           (SELECT count(*) FROM webhook_deliveries WHERE due_at IS NOT NULL) AS deliveries_pending,
           ({COUNT_DEAD_LETTERED}) AS deliveries_dead_lettered,
           (SELECT count(*) FROM rejected_messages
            WHERE received_at > now() - make_interval(secs => :window_seconds)) AS rejected_messages,
           (SELECT count(*) FROM events
            WHERE kind = 'sweep.redelivered' AND at > now() - make_interval(secs => :window_seconds)) AS redelivered,
           ({SLOW_COUNT}) AS redelivered_slow
    FROM (SELECT count(*) AS lines, CAST(coalesce(sum(quantity), 0) AS bigint) AS units
          FROM reservations WHERE state = 'held') AS held
""")


@dataclass(frozen=True, slots=True)
class PhaseFigures:
    """A phase, or `unwind`: the checkouts before it, and the age of the oldest message among them.

    `per_minute` is how many it completed in the last minute; None for the unwind, which completes no phase.
    """

    name: str
    checkouts: int
    oldest_seconds: float | None = None
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Duration:
    """From start to placed order, in seconds, the buyer's own time included."""

    p50_seconds: float
    p95_seconds: float
    average_seconds: float


@dataclass(frozen=True, slots=True)
class Stats:
    """All figures. `states` counts every active checkout, and the ended ones of the last `hours`.

    `success_rate` is completed by ended, None when nothing ended. `failures` has the most frequent codes of what
    ended otherwise, largest first. `expired`, `stuck`, `needs_review` and `payments_unknown` are those of
    pipeline/checkouts/conditions.py; `redelivered` are messages that the sweep redelivered, `redelivered_slow` those of
    them that a slow worker still processed: the rest was lost, or its worker crashed.
    """

    at: datetime
    hours: float
    states: Mapping[str, int]
    success_rate: float | None
    failures: Mapping[str, int]
    duration: Duration | None
    steps: tuple[PhaseFigures, ...]
    expired: int
    stuck: int
    needs_review: int
    held_lines: int
    held_units: int
    coupons_held: int
    payments_unknown: int
    deliveries_pending: int
    deliveries_dead_lettered: int
    rejected_messages: int
    redelivered: int
    redelivered_slow: int
    orders: OrderFigures


def read_stats(connection: Connection, settings: Settings, *, hours: float = 24) -> Stats:
    """Read all figures in the connection's transaction."""
    bound = {**bind_conditions(settings), "window_seconds": hours * 3600}
    active = connection.execute(ACTIVE, bound).mappings().all()
    ended = connection.execute(ENDED, bound).mappings().all()
    duration = connection.execute(DURATION, bound).mappings().one_or_none()
    figures = connection.execute(FIGURES, bound).mappings().one()
    rates = {row.phase: row.completed for row in connection.execute(RATES)}
    states = Counter({state.value: 0 for state in CheckoutState})
    failures: Counter[str] = Counter()
    for row in (*active, *ended):
        states[row["state"]] += row["checkouts"]
    for row in ended:
        if row["state"] != CheckoutState.COMPLETED:
            failures[row["failure_code"] or "unknown"] += row["checkouts"]
    over = sum(row["checkouts"] for row in ended)
    return Stats(
        hours=hours,
        states=dict(states),
        success_rate=states[CheckoutState.COMPLETED] / over if over else None,
        failures=_top(failures),
        duration=Duration(**duration) if duration is not None else None,
        steps=_steps(active, rates),
        stuck=sum(row["stuck"] for row in active),
        orders=read_order_figures(connection, bound),
        **figures,
    )


def list_checkout_queues() -> list[str]:
    """Return the queues whose messages name checkouts, in the order of the work."""
    return [*(phase.queue for phase in get_chain()), UNWIND, RESOLVE]


def list_queues() -> list[str]:
    """Return every queue, in the order of the work."""
    return [INTAKE, *list_checkout_queues(), WEBHOOKS, ORDER_CHANGES, DELIVERIES, SWEEP]


def _steps(active: Any, rates: Mapping[str, int]) -> tuple[PhaseFigures, ...]:
    """Return running checkouts by their next phase, and unwinding ones together."""
    running = {row["phase"]: row for row in active if row["state"] == CheckoutState.RUNNING}
    idle = {"checkouts": 0, "oldest_seconds": None}
    phases = [
        PhaseFigures(phase.name, row["checkouts"], row["oldest_seconds"], rates.get(phase.name, 0))
        for phase in get_chain()
        for row in [running.get(phase.number - 1, idle)]
    ]
    unwinding = [row for row in active if row["state"] == CheckoutState.UNWINDING]
    oldest = max((row["oldest_seconds"] for row in unwinding), default=None)
    return (*phases, PhaseFigures("unwind", sum(row["checkouts"] for row in unwinding), oldest, None))


def _top(failures: Counter[str]) -> dict[str, int]:
    ranked = sorted(failures.items(), key=lambda each: (-each[1], each[0]))
    rest = sum(count for _, count in ranked[TOP_CODES:])
    return dict(ranked[:TOP_CODES]) | ({"others": rest} if rest else {})
