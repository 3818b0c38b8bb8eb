"""Findings about the whole engine, read through indexes on active rows and recent time, with the command for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, text

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
    bind_conditions,
    late_sweep_seconds,
    stopped_sweep_seconds,
)
from pipeline.checkouts.order_conditions import (
    COUNT_CHANGES_REVIEW,
    COUNT_CHANGES_STUCK,
    COUNT_DISPUTES_OPEN,
    COUNT_REFUNDS_RETURNED,
)
from pipeline.errors.wording import fill
from pipeline.gateways import describe_choice, read_choice
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
from pipeline.operations.replication import STANDBYS_LATE, STANDBYS_MISSING, Replication
from pipeline.saga.slow import LOST_COUNT, SLOW_COUNT
from pipeline.settings import Settings


class Severity(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was checked: how many were found, and the command to run."""

    code: str
    severity: Severity
    count: int
    sentence: str
    command: str | None = None


@dataclass(frozen=True, slots=True)
class _Question:
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
    _Question("expired_locks", Severity.WARNING, EXPIRED, CommandLine.CLEANUP, COUNT_EXPIRED),
    _Question("stuck_checkouts", Severity.CRITICAL, STUCK, CommandLine.MONITOR, COUNT_STUCK),
    _Question(
        "needs_review",
        Severity.WARNING,
        NEEDS_REVIEW,
        f"{CommandLine.SHOW}, then {CommandLine.RETRY}",
        COUNT_NEEDS_REVIEW,
    ),
    _Question("payments_review", Severity.CRITICAL, PAYMENTS_REVIEW, CommandLine.RECONCILE, COUNT_PAYMENTS_REVIEW),
    _Question("payments_unknown", Severity.WARNING, UNKNOWN, CommandLine.RECONCILE, COUNT_UNKNOWN),
    _Question("changes_stuck", Severity.CRITICAL, CHANGES_STUCK, CommandLine.MONITOR, COUNT_CHANGES_STUCK),
    _Question("changes_review", Severity.WARNING, CHANGES_REVIEW, CommandLine.SETTLE_CHANGE, COUNT_CHANGES_REVIEW),
    _Question(
        "refunds_returned", Severity.CRITICAL, REFUNDS_RETURNED, CommandLine.SETTLE_CHANGE, COUNT_REFUNDS_RETURNED
    ),
    _Question(
        "disputes_open",
        Severity.WARNING,
        "{count:dispute is|disputes are} open: send the evidence in the provider's dashboard before it is due",
        CommandLine.LIST_ORDERS,
        COUNT_DISPUTES_OPEN,
    ),
    _Question(
        "held_by_ended",
        Severity.CRITICAL,
        "{count:reservation is held for a checkout that has|reservations are held for checkouts that have} ended",
        CommandLine.AUDIT,
        f"""SELECT count(*) FROM reservations r JOIN checkouts c ON c.id = r.checkout_id
            WHERE r.state = 'held' AND c.state NOT IN ({ACTIVE_SQL})""",
    ),
    _Question(
        "coupons_of_ended",
        Severity.CRITICAL,
        "{count:coupon use was not returned by its checkout|coupon uses were not returned by checkouts} that recently"
        " ended without an order",
        CommandLine.AUDIT,
        f"""SELECT count(*) FROM redemptions r WHERE r.returned_at IS NULL
            AND r.checkout_id IN (SELECT c.id {_RECENTLY_ENDED} AND c.state <> 'completed')""",
    ),
    _Question(
        "orders_without_checkout",
        Severity.CRITICAL,
        "{count:order is pending for a checkout|orders are pending for checkouts} that recently ended",
        CommandLine.AUDIT,
        f"""SELECT count(*) FROM orders o
            WHERE o.state = 'pending' AND o.checkout_id IN (SELECT c.id {_RECENTLY_ENDED})""",
    ),
    _Question(
        "messages_refused",
        Severity.WARNING,
        "{count:message was|messages were} rejected as invalid: see the table rejected_messages",
        "psql -c 'SELECT code, message, count(*) FROM rejected_messages GROUP BY 1, 2'",
        """SELECT count(*) FROM rejected_messages
           WHERE received_at > now() - make_interval(secs => :window_seconds)""",
    ),
    _Question(
        "webhooks_failing",
        Severity.WARNING,
        "{count:inbound webhook has|inbound webhooks have} failed five times or more",
        "psql -c 'SELECT kind, last_error, count(*) FROM webhook_inbox WHERE due_at IS NOT NULL GROUP BY 1, 2'",
        "SELECT count(*) FROM webhook_inbox WHERE due_at IS NOT NULL AND attempts >= 5",
    ),
    _Question(
        "deliveries_dead_lettered",
        Severity.WARNING,
        DEAD_LETTERED,
        f"{CommandLine.LIST_DEAD_LETTERED}, then {CommandLine.REPLAY_DELIVERIES}",
        COUNT_DEAD_LETTERED,
    ),
    _Question(
        "partitions_missing",
        Severity.WARNING,
        PARTITIONS_MISSING,
        CommandLine.CREATE_PARTITIONS,
        COUNT_PARTITIONS_MISSING,
    ),
    _Question(
        "partitions_misplaced",
        Severity.WARNING,
        PARTITIONS_MISPLACED,
        CommandLine.CREATE_PARTITIONS,
        COUNT_PARTITIONS_MISPLACED,
    ),
    _Question(
        "tax_rates_ended",
        Severity.WARNING,
        "{count:group of tax rates (a country, a region, a category) has"
        "|groups of tax rates (a country, a region, a category) have} ended or not yet begun, and no other rate"
        " applies: sales there are not taxed; import rates that are valid now, or a rate of 0",
        "psql -c 'SELECT country, region, category, name, max(valid_until) FROM tax_rates GROUP BY 1, 2, 3, 4'",
        COUNT_LAPSED,
    ),
    _Question(
        "keys_expiring",
        Severity.WARNING,
        "{count:API key expires|API keys expire} within a week",
        CommandLine.LIST_KEYS,
        """SELECT count(*) FROM api_keys
           WHERE revoked_at IS NULL AND expires_at BETWEEN now() AND now() + interval '7 days'
             AND expires_at - created_at > interval '7 days'""",
    ),
    _Question(
        "rates_too_old",
        Severity.WARNING,
        "{count:currency has|currencies have} only exchange rates that are too old: carts that need one are refused",
        CommandLine.IMPORT_RATES,
        f"""SELECT CASE WHEN ({NEWEST}) < now() - make_interval(hours => :rate_hours)
                        THEN (SELECT count(DISTINCT quote) FROM exchange_rates) ELSE 0 END""",
    ),
    _Question(
        "redelivered_lost",
        Severity.WARNING,
        "{count:message was|messages were} redelivered by the sweep and the first delivery never finished: Redis lost"
        " it, or its worker crashed, or the database was unavailable",
        CommandLine.MONITOR,
        LOST_COUNT,
    ),
    _Question(
        "redelivered_slow",
        Severity.WARNING,
        "{count:message was|messages were} redelivered by the sweep while a slow worker still processed it: none was"
        " lost; the machine is busy, a worker was suspended, or CHECKOUT_REDELIVER_AFTER_SECONDS is too short for this"
        " machine",
        CommandLine.MONITOR,
        SLOW_COUNT,
    ),
    _Question(
        "sweep_late",
        Severity.WARNING,
        "The sweep is late: check the scheduler",
        "python -m workers.scheduler",
        f"SELECT CASE WHEN ({_SWEEP_AGE}) BETWEEN :late_seconds AND :stopped_seconds THEN 1 ELSE 0 END",
    ),
    _Question(
        "sweep_stopped",
        Severity.CRITICAL,
        "The sweep has not run for a minute: start the scheduler",
        "python -m workers.scheduler",
        f"SELECT CASE WHEN ({_SWEEP_AGE}) <= :stopped_seconds THEN 0 ELSE 1 END",
    ),
)


def diagnose(connection: Connection, settings: Settings, *, hours: float = 24) -> list[Diagnosis]:
    """Return one finding for each question, in one round trip each; nothing is locked, nothing is written."""
    facts = {
        **bind_conditions(settings),
        "late_seconds": late_sweep_seconds(settings),
        "stopped_seconds": stopped_sweep_seconds(settings),
        "window_seconds": hours * 3600,
        "rate_hours": settings.rate_max_age_hours,
    }
    return [_diagnose_one(connection, question, facts) for question in QUESTIONS]


def judge_replication(replication: Replication) -> list[Diagnosis]:
    """Return the findings from the replication of the database."""
    missing, late = replication.missing or 0, len(replication.late)
    objection = replication.objection
    found = [Diagnosis("database_read_only", Severity.CRITICAL, 1, objection)] if objection else []
    if missing:
        sentence = f"{fill(STANDBYS_MISSING, {'count': missing})}."
        found.append(Diagnosis("synchronous_standbys", Severity.CRITICAL, missing, sentence))
    if late:
        found.append(Diagnosis("replication_lag", Severity.WARNING, late, f"{fill(STANDBYS_LATE, {'count': late})}."))
    standbys = Diagnosis("standbys", Severity.OK, 0, " ".join(replication.sentences) or "None is connected.")
    return [*found, standbys]


def judge_gateway(settings: Settings) -> Diagnosis:
    """Return which gateway is chosen; none is critical, because no worker starts then."""
    choice = read_choice(settings)
    severity = Severity.CRITICAL if choice is None else Severity.OK
    return Diagnosis("gateway", severity, int(choice is None), f"Payments go to {describe_choice(settings)}.")


def judge_queues(queues: Sequence[Any] | None) -> list[Diagnosis]:
    """Return the findings from the figures of the queues, which are None when Redis did not answer."""
    if queues is None:
        sentence = "Redis does not answer: checkouts are accepted, and continue when it is back."
        return [Diagnosis("broker_away", Severity.CRITICAL, 1, sentence)]
    dead_lettered = sum(each.dead_lettered for each in queues)
    return [
        Diagnosis(
            "dead_lettered",
            Severity.WARNING if dead_lettered else Severity.OK,
            dead_lettered,
            fill(
                "{count:message is|messages are} dead-lettered: see the table rejected_messages.",
                {"count": dead_lettered},
            )
            if dead_lettered
            else "None.",
        )
    ]


def _diagnose_one(connection: Connection, question: _Question, facts: dict[str, Any]) -> Diagnosis:
    row: Row[Any] = connection.execute(text(question.sql), facts).one()
    count = int(row[0])
    if count == 0:
        return Diagnosis(question.code, Severity.OK, 0, "None.")
    return Diagnosis(
        question.code, question.severity, count, f"{fill(question.sentence, {'count': count})}.", question.command
    )
