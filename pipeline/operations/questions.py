"""What is asked about the whole engine: counts that should be zero, with the sentence and the command for each."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from models.states import ACTIVE_SQL
from pipeline.catalog.exchange_rates import NEWEST
from pipeline.catalog.tax_rates import COUNT_LAPSED
from pipeline.checkouts.conditions import (
    COUNT_DEAD_LETTERED,
    COUNT_EXPIRED,
    COUNT_NEEDS_REVIEW,
    COUNT_PARTITIONS_MISPLACED,
    COUNT_PARTITIONS_MISSING,
    COUNT_PAYMENTS_REVIEW,
    COUNT_STUCK,
    COUNT_UNKNOWN,
)
from pipeline.checkouts.order_conditions import (
    COUNT_CHANGES_REVIEW,
    COUNT_CHANGES_STUCK,
    COUNT_DISPUTES_OPEN,
    COUNT_REFUNDS_RETURNED,
)
from pipeline.operations.commands import CommandLine
from pipeline.operations.health import (
    CHANGES_REVIEW,
    CHANGES_STUCK,
    DEAD_LETTERED,
    EXPIRED,
    NEEDS_REVIEW,
    PARTITIONS_MISPLACED,
    PARTITIONS_MISSING,
    PAYMENTS_REVIEW,
    REFUNDS_RETURNED,
    STUCK,
    UNKNOWN,
)
from pipeline.saga.slow import LOST_COUNT, SLOW_COUNT


class Severity(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Question:
    """A count that should be zero."""

    code: str
    severity: Severity
    sentence: str
    command: str | None
    sql: str


_SWEEP_AGE: Final = "SELECT extract(epoch FROM now() - at) FROM heartbeats WHERE name = 'sweep'"

_RECENTLY_ENDED: Final = f"""
    FROM checkouts c WHERE c.ended_at > now() - make_interval(secs => :window_seconds) AND c.state NOT IN ({ACTIVE_SQL})
"""

QUESTIONS: Final = (
    Question(
        "expired_locks",
        Severity.WARNING,
        EXPIRED,
        CommandLine.CLEANUP,
        COUNT_EXPIRED,
    ),
    Question("stuck_checkouts", Severity.CRITICAL, STUCK, CommandLine.MONITOR, COUNT_STUCK),
    Question(
        "needs_review",
        Severity.WARNING,
        NEEDS_REVIEW,
        f"{CommandLine.SHOW}, then {CommandLine.RETRY}",
        COUNT_NEEDS_REVIEW,
    ),
    Question(
        "payments_review",
        Severity.CRITICAL,
        PAYMENTS_REVIEW,
        CommandLine.RECONCILE,
        COUNT_PAYMENTS_REVIEW,
    ),
    Question(
        "payments_unknown",
        Severity.WARNING,
        UNKNOWN,
        CommandLine.RECONCILE,
        COUNT_UNKNOWN,
    ),
    Question("changes_stuck", Severity.CRITICAL, CHANGES_STUCK, CommandLine.MONITOR, COUNT_CHANGES_STUCK),
    Question("changes_review", Severity.WARNING, CHANGES_REVIEW, CommandLine.SHOW_ORDER, COUNT_CHANGES_REVIEW),
    Question("refunds_returned", Severity.CRITICAL, REFUNDS_RETURNED, CommandLine.SHOW_ORDER, COUNT_REFUNDS_RETURNED),
    Question(
        "disputes_open",
        Severity.WARNING,
        "{count:dispute is|disputes are} open: send the evidence in the provider's dashboard before it is due",
        CommandLine.LIST_ORDERS,
        COUNT_DISPUTES_OPEN,
    ),
    Question(
        "held_by_ended",
        Severity.CRITICAL,
        "{count:reservation is held for a checkout that has|reservations are held for checkouts that have} ended",
        CommandLine.AUDIT,
        f"""SELECT count(*) FROM reservations r JOIN checkouts c ON c.id = r.checkout_id
            WHERE r.state = 'held' AND c.state NOT IN ({ACTIVE_SQL})""",
    ),
    Question(
        "coupons_of_ended",
        Severity.CRITICAL,
        "{count:coupon use was not returned by its checkout|coupon uses were not returned by checkouts} that recently"
        " ended without an order",
        CommandLine.AUDIT,
        f"""SELECT count(*) FROM redemptions r WHERE r.returned_at IS NULL
            AND r.checkout_id IN (SELECT c.id {_RECENTLY_ENDED} AND c.state <> 'completed')""",
    ),
    Question(
        "orders_without_checkout",
        Severity.CRITICAL,
        "{count:order is pending for a checkout|orders are pending for checkouts} that recently ended",
        CommandLine.AUDIT,
        f"""SELECT count(*) FROM orders o
            WHERE o.state = 'pending' AND o.checkout_id IN (SELECT c.id {_RECENTLY_ENDED})""",
    ),
    Question(
        "messages_refused",
        Severity.WARNING,
        "{count:message was|messages were} rejected as invalid: see the table rejected_messages",
        "psql -c 'SELECT code, message, count(*) FROM rejected_messages GROUP BY 1, 2'",
        """SELECT count(*) FROM rejected_messages
           WHERE received_at > now() - make_interval(secs => :window_seconds)""",
    ),
    Question(
        "webhooks_failing",
        Severity.WARNING,
        "{count:inbound webhook has|inbound webhooks have} failed five times or more",
        "psql -c 'SELECT kind, last_error, count(*) FROM webhook_inbox WHERE due_at IS NOT NULL GROUP BY 1, 2'",
        "SELECT count(*) FROM webhook_inbox WHERE due_at IS NOT NULL AND attempts >= 5",
    ),
    Question(
        "deliveries_dead_lettered",
        Severity.WARNING,
        DEAD_LETTERED,
        f"{CommandLine.LIST_DEAD_LETTERED}, then {CommandLine.REPLAY_DELIVERIES}",
        COUNT_DEAD_LETTERED,
    ),
    Question(
        "partitions_missing",
        Severity.WARNING,
        PARTITIONS_MISSING,
        CommandLine.CREATE_PARTITIONS,
        COUNT_PARTITIONS_MISSING,
    ),
    Question(
        "partitions_misplaced",
        Severity.WARNING,
        PARTITIONS_MISPLACED,
        CommandLine.CREATE_PARTITIONS,
        COUNT_PARTITIONS_MISPLACED,
    ),
    Question(
        "tax_rates_ended",
        Severity.WARNING,
        "{count:group of tax rates (a country, a region, a category) has"
        "|groups of tax rates (a country, a region, a category) have} ended or not yet begun, and no other rate"
        " applies: sales there are not taxed; import rates that are valid now, or a rate of 0",
        "psql -c 'SELECT country, region, category, name, max(valid_until) FROM tax_rates GROUP BY 1, 2, 3, 4'",
        COUNT_LAPSED,
    ),
    Question(
        "keys_expiring",
        Severity.WARNING,
        "{count:API key expires|API keys expire} within a week",
        CommandLine.LIST_KEYS,
        """SELECT count(*) FROM api_keys
           WHERE revoked_at IS NULL AND expires_at BETWEEN now() AND now() + interval '7 days'
             AND expires_at - created_at > interval '7 days'""",
    ),
    Question(
        "rates_too_old",
        Severity.WARNING,
        "{count:currency has|currencies have} only exchange rates that are too old: carts that need one are refused",
        CommandLine.IMPORT_RATES,
        f"""SELECT CASE WHEN ({NEWEST}) < now() - make_interval(hours => :rate_hours)
                        THEN (SELECT count(DISTINCT quote) FROM exchange_rates) ELSE 0 END""",
    ),
    Question(
        "redelivered_lost",
        Severity.WARNING,
        "{count:message was|messages were} redelivered by the sweep and the first delivery never finished: Redis lost"
        " it, or its worker crashed, or the database was unavailable",
        CommandLine.MONITOR,
        LOST_COUNT,
    ),
    Question(
        "redelivered_slow",
        Severity.WARNING,
        "{count:message was|messages were} redelivered by the sweep while a slow worker still processed it: none was"
        " lost; the machine is busy, a worker was suspended, or CHECKOUT_REDELIVER_AFTER_SECONDS is too short for this"
        " machine",
        CommandLine.MONITOR,
        SLOW_COUNT,
    ),
    Question(
        "sweep_late",
        Severity.WARNING,
        "The sweep is late: check the scheduler",
        "python -m workers.scheduler",
        f"SELECT CASE WHEN ({_SWEEP_AGE}) BETWEEN :late_seconds AND :stopped_seconds THEN 1 ELSE 0 END",
    ),
    Question(
        "sweep_stopped",
        Severity.CRITICAL,
        "The sweep has not run for a minute: start the scheduler",
        "python -m workers.scheduler",
        f"SELECT CASE WHEN ({_SWEEP_AGE}) <= :stopped_seconds THEN 0 ELSE 1 END",
    ),
)
