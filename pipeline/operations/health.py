"""Whether checkouts get through: one short query over active rows, and what its figures mean."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, text

from models.states import ACTIVE_SQL
from pipeline.audit.report import bound_seconds
from pipeline.catalog.exchange_rates import NEWEST, is_too_old
from pipeline.catalog.tax_rates import COUNT_LAPSED
from pipeline.errors.wording import fill
from pipeline.operations.commands import CommandLine
from pipeline.settings import Settings

#: What health and `checkout diagnose` both say.
EXPIRED: Final = (
    "{count:checkout is past its time and still holds its stock"
    "|checkouts are past their time and still hold their stock}"
)
UNANSWERED: Final = "{count:payment call has|payment calls have} had no answer for five minutes"

#: Longest time the query may take: a database that is this busy is told as one that does not answer.
STATEMENT_SECONDS: Final = 1.5
#: An outcome that stays unknown for longer than a provider's bad minute is for an operator to know.
UNKNOWN_SECONDS: Final = 300.0
#: A sweep that missed ten ticks is late, one that missed sixty does not run; of fast ticks, so many seconds.
LATE_TICKS: Final = 10
DEAD_TICKS: Final = 60

#: What a database that does not answer leaves open.
ASKED: Final = (
    "migrations",
    "expired_locks",
    "stuck_checkouts",
    "sweep_age",
    "payments_unknown",
    "webhooks_not_taken",
    "exchange_rates",
    "tax_rates_ended",
    "needs_review",
)

LIMIT: Final = text(f"SET LOCAL statement_timeout = {int(STATEMENT_SECONDS * 1000)}")

_SWEEP_AGE = "SELECT CAST(extract(epoch FROM now() - at) AS float8) FROM heartbeats WHERE name = 'sweep'"
SWEEP_AGE: Final = text(_SWEEP_AGE)

# As the sweep takes them: what is in flight at the gateway is settled first, and only then expires.
FIGURES: Final = text(f"""
    SELECT now() AS at, (SELECT version_num FROM alembic_version) AS revision,
           (SELECT count(*) FROM checkouts c
            WHERE pivot_at IS NULL AND state IN ('running', 'awaiting_payment', 'action_required')
              AND expires_at < now() - make_interval(secs => :bound_seconds)
              AND NOT EXISTS (SELECT FROM payment_operations o
                              WHERE o.checkout_id = c.id AND o.status IN ('intended', 'unknown'))) AS expired,
           (SELECT count(*) FROM checkouts
            WHERE state IN ({ACTIVE_SQL}) AND due_at < now() - make_interval(secs => :bound_seconds)) AS stuck,
           (SELECT count(*) FROM checkouts WHERE state = 'needs_review' AND state IN ({ACTIVE_SQL})) AS reviews,
           (SELECT count(*) FROM payment_operations
            WHERE status IN ('intended', 'unknown') AND status = 'unknown'
              AND created_at < now() - make_interval(secs => :unknown_seconds)) AS unknown,
           (SELECT count(*) FROM webhook_deliveries WHERE status = 'dead') AS dead,
           ({NEWEST}) AS newest_rate_at,
           ({COUNT_LAPSED}) AS taxes_lapsed,
           ({_SWEEP_AGE}) AS sweep_age
""")


class Health(StrEnum):
    """How well something is. Degraded: checkouts get through, later or not all of them."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `count` where there is something to count."""

    status: Health
    message: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """All checks by name, and the worst of them."""

    checks: dict[str, Check]
    at: datetime

    @property
    def status(self) -> Health:
        """The worst that was found."""
        found = {check.status for check in self.checks.values()}
        return next((each for each in (Health.UNHEALTHY, Health.DEGRADED) if each in found), Health.HEALTHY)


def check_database(connection: Connection, settings: Settings, head: str) -> tuple[dict[str, Check], datetime]:
    """Return the checks that the database answers, within a second and a half; `head` is the schema to be."""
    connection.execute(LIMIT)
    row = connection.execute(
        FIGURES, {"bound_seconds": bound_seconds(settings), "unknown_seconds": UNKNOWN_SECONDS}
    ).one()
    checks = {
        "database": Check(Health.HEALTHY, "PostgreSQL answers."),
        "migrations": _check_revision(row.revision, head),
        "expired_locks": _count(
            row.expired,
            EXPIRED,
        ),
        "stuck_checkouts": _count(
            row.stuck, "{count:checkout is|checkouts are} overdue: a worker or the scheduler does not run"
        ),
        "sweep_age": _check_sweep(row.sweep_age, settings),
        "payments_unknown": _count(row.unknown, UNANSWERED),
        "webhooks_not_taken": _count(
            row.dead,
            "{count:webhook of ours was|webhooks of ours were} not taken: `" + CommandLine.LIST_DEAD_DELIVERIES + "`",
        ),
        "exchange_rates": _check_rates(row.newest_rate_at, row.at, settings),
        "tax_rates_ended": _count(
            row.taxes_lapsed,
            "{count:group of tax rates holds|groups of tax rates hold} no more, and none follows: look with"
            f" `{CommandLine.DIAGNOSE}`",
        ),
        "needs_review": Check(Health.HEALTHY, "Checkouts that wait for a person.", row.reviews),
    }
    return checks, row.at


def lose_database(why: Check) -> dict[str, Check]:
    """Return the same checks of a database that gave no answer: all that need it say so."""
    return {"database": why} | {name: Check(Health.UNHEALTHY, "Not known: see `database`.") for name in ASKED}


def read_sweep_age(connection: Connection) -> float | None:
    """Return the seconds since the sweep last ran, None when it never has."""
    age_seconds: float | None = connection.execute(SWEEP_AGE).scalar_one_or_none()
    return age_seconds


def _count(count: int, what: str) -> Check:
    if count == 0:
        return Check(Health.HEALTHY, "None.", 0)
    return Check(Health.DEGRADED, f"{fill(what, {'count': count})}.", count)


def _check_revision(revision: Any, head: str) -> Check:
    if revision == head:
        return Check(Health.HEALTHY, "The schema is the one that this code expects.")
    # Revisions are numbered. A schema is expanded before its code comes: the code of yesterday goes on meanwhile.
    if revision is not None and revision > head:
        return Check(Health.DEGRADED, "The schema is newer than this code: put the code that goes with it in place.")
    return Check(Health.UNHEALTHY, "The schema is older than this code: run `alembic upgrade head`.")


def _check_rates(newest: datetime | None, now: datetime, settings: Settings) -> Check:
    if newest is None:
        return Check(Health.HEALTHY, "None is stored: nothing is converted.")
    age = int((now - newest).total_seconds())
    if is_too_old(newest, now, settings):
        return Check(
            Health.DEGRADED,
            f"The newest is of {newest:%Y-%m-%d}, older than {settings.rate_max_age_hours} h: carts that need one are"
            f" refused. Import today's with `{CommandLine.IMPORT_RATES}`.",
            age,
        )
    return Check(Health.HEALTHY, "Seconds since the newest was observed.", age)


def _check_sweep(age_seconds: float | None, settings: Settings) -> Check:
    if age_seconds is None:
        return Check(Health.DEGRADED, "The sweep has never run: start the scheduler.")
    age = int(age_seconds)
    if age_seconds > max(DEAD_TICKS, DEAD_TICKS * settings.tick_seconds):
        return Check(Health.UNHEALTHY, "The sweep does not run: start the scheduler.", age)
    if age_seconds > max(LATE_TICKS, LATE_TICKS * settings.tick_seconds):
        return Check(Health.DEGRADED, "The sweep is late: look at the scheduler.", age)
    return Check(Health.HEALTHY, "The sweep runs; seconds since its last tick.", age)
