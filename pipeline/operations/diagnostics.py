"""What is wrong with the whole, found through indexes on active rows and recent time, with the command that helps."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from models.states import ACTIVE_SQL
from pipeline.audit.report import bound_seconds
from pipeline.catalog.exchange_rates import NEWEST
from pipeline.catalog.tax_rates import COUNT_LAPSED
from pipeline.errors.wording import fill
from pipeline.gateways.choice import describe_choice, read_choice
from pipeline.operations.commands import CommandLine
from pipeline.operations.health import EXPIRED, UNANSWERED, UNKNOWN_SECONDS
from pipeline.saga.slow import LOST_COUNT, SLOW_COUNT
from pipeline.settings import Settings


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `count` of what was found, and what to do about it."""

    code: str
    severity: Severity
    count: int
    sentence: str
    command: str | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """Something that should be zero."""

    code: str
    severity: Severity
    sentence: str
    command: str | None
    sql: str


_ORPHANS: Final = f"""
    FROM checkouts c WHERE c.ended_at > now() - make_interval(secs => :window_seconds) AND c.state NOT IN ({ACTIVE_SQL})
"""

QUESTIONS: Final = (
    _Question(
        "expired_locks",
        Severity.WARNING,
        EXPIRED,
        CommandLine.CLEANUP,
        """SELECT count(*) FROM checkouts
           WHERE pivot_at IS NULL AND state IN ('running', 'awaiting_payment', 'action_required')
             AND expires_at < now() - make_interval(secs => :bound_seconds)""",
    ),
    _Question(
        "stuck_checkouts",
        Severity.CRITICAL,
        "{count:checkout is|checkouts are} overdue: a worker does not run, or the scheduler",
        CommandLine.MONITOR,
        f"""SELECT count(*) FROM checkouts
            WHERE state IN ({ACTIVE_SQL}) AND due_at < now() - make_interval(secs => :bound_seconds)""",
    ),
    _Question(
        "needs_review",
        Severity.WARNING,
        "{count:checkout waits|checkouts wait} for a person",
        f"{CommandLine.SHOW}, then {CommandLine.RETRY}",
        f"SELECT count(*) FROM checkouts WHERE state = 'needs_review' AND state IN ({ACTIVE_SQL})",
    ),
    _Question(
        "payments_review",
        Severity.CRITICAL,
        "{count:payment of an ended checkout|payments of ended checkouts} could not be given back",
        CommandLine.RECONCILE,
        "SELECT count(*) FROM payments WHERE review IS NOT NULL",
    ),
    _Question(
        "payments_unknown",
        Severity.WARNING,
        UNANSWERED,
        CommandLine.RECONCILE,
        """SELECT count(*) FROM payment_operations WHERE status IN ('intended', 'unknown') AND status = 'unknown'
             AND created_at < now() - make_interval(secs => :unknown_seconds)""",
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
        "{count:coupon use was not given back by its checkout|coupon uses were not given back by checkouts} that ended"
        " without an order lately",
        CommandLine.AUDIT,
        f"""SELECT count(*) FROM redemptions r WHERE r.returned_at IS NULL
            AND r.checkout_id IN (SELECT c.id {_ORPHANS} AND c.state <> 'completed')""",
    ),
    _Question(
        "orders_without_checkout",
        Severity.CRITICAL,
        "{count:order is pending for a checkout|orders are pending for checkouts} that ended lately",
        CommandLine.AUDIT,
        f"""SELECT count(*) FROM orders o WHERE o.state = 'pending' AND o.checkout_id IN (SELECT c.id {_ORPHANS})""",
    ),
    _Question(
        "messages_refused",
        Severity.WARNING,
        "{count:message|messages} could not be read: refused_messages says why",
        "psql -c 'SELECT code, message, count(*) FROM refused_messages GROUP BY 1, 2'",
        """SELECT count(*) FROM refused_messages
           WHERE received_at > now() - make_interval(secs => :window_seconds)""",
    ),
    _Question(
        "webhooks_failing",
        Severity.WARNING,
        "{count:webhook of the provider has|webhooks of the provider have} been tried five times and more",
        "psql -c 'SELECT kind, last_error, count(*) FROM webhook_inbox WHERE due_at IS NOT NULL GROUP BY 1, 2'",
        "SELECT count(*) FROM webhook_inbox WHERE due_at IS NOT NULL AND attempts >= 5",
    ),
    _Question(
        "deliveries_dead",
        Severity.WARNING,
        "{count:webhook of ours was|webhooks of ours were} not taken",
        f"{CommandLine.LIST_DEAD_DELIVERIES}, then {CommandLine.REPLAY_DELIVERIES}",
        "SELECT count(*) FROM webhook_deliveries WHERE status = 'dead'",
    ),
    _Question(
        "tax_rates_ended",
        Severity.WARNING,
        "{count:group of tax rates (a country, a region, a category) holds"
        "|groups of tax rates (a country, a region, a category) hold} no more, or not yet, and no other stands in: what"
        " is sold there is not taxed; import those that hold now, or a rate of 0",
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
        "sent_again",
        Severity.WARNING,
        "{count:message was|messages were} sent again by the sweep and the first run never came back: Redis lost"
        " it, or its worker died, or the database was away",
        CommandLine.MONITOR,
        LOST_COUNT,
    ),
    _Question(
        "sent_again_slow",
        Severity.WARNING,
        "{count:message was|messages were} sent again by the sweep while a slow worker was still at it: none was"
        " lost; the machine is busy, a worker was stopped for a while, or CHECKOUT_STALL_SECONDS is too short for this"
        " machine",
        CommandLine.MONITOR,
        SLOW_COUNT,
    ),
    _Question(
        "sweep_stopped",
        Severity.CRITICAL,
        "The sweep has not run for a minute: start the scheduler",
        "python -m workers.scheduler",
        """SELECT CASE WHEN EXISTS (SELECT FROM heartbeats WHERE name = 'sweep'
                                   AND at > now() - make_interval(secs => greatest(60, :dead_seconds)))
                       THEN 0 ELSE 1 END""",
    ),
)


def diagnose(connection: Connection, settings: Settings, *, hours: float = 24) -> list[Finding]:
    """Return one finding for each question, in one round trip each; nothing is locked, nothing is written."""
    facts = {
        "bound_seconds": bound_seconds(settings),
        "unknown_seconds": UNKNOWN_SECONDS,
        "window_seconds": hours * 3600,
        "dead_seconds": 60 * settings.tick_seconds,
        "rate_hours": settings.rate_max_age_hours,
    }
    return [_ask(connection, question, facts) for question in QUESTIONS]


def judge_gateway(settings: Settings) -> Finding:
    """Say where payments go; that nobody has chosen is critical: no worker starts then."""
    choice = read_choice(settings)
    severity = Severity.CRITICAL if choice is None else Severity.OK
    return Finding("gateway", severity, int(choice is None), f"Payments go to {describe_choice(settings)}.")


def judge_queues(queues: Sequence[Any] | None) -> list[Finding]:
    """Return what the queues' own figures say; None when Redis did not answer."""
    if queues is None:
        sentence = "Redis does not answer: checkouts are accepted, and go on when it is back."
        return [Finding("broker_away", Severity.CRITICAL, 1, sentence)]
    dead = sum(each.dead for each in queues)
    return [
        Finding(
            "dead_letters",
            Severity.WARNING if dead else Severity.OK,
            dead,
            fill("{count:dead letter|dead letters}: refused_messages says why.", {"count": dead}) if dead else "None.",
        )
    ]


def _ask(connection: Connection, question: _Question, facts: dict[str, Any]) -> Finding:
    row: Row[Any] = connection.execute(text(question.sql), facts).one()
    count = int(row[0])
    if count == 0:
        return Finding(question.code, Severity.OK, 0, "None.")
    return Finding(
        question.code, question.severity, count, f"{fill(question.sentence, {'count': count})}.", question.command
    )
