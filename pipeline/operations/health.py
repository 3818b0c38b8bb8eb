"""The health check of the database: one short query over active rows, and what its figures mean."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, text

from pipeline.catalog.exchange_rates import NEWEST, is_too_old
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
from pipeline.checkouts.order_conditions import COUNT_CHANGES_REVIEW, COUNT_CHANGES_STUCK, COUNT_REFUNDS_RETURNED
from pipeline.errors.wording import fill
from pipeline.operations.commands import CommandLine
from pipeline.operations.replication import (
    STANDBYS_LATE,
    STANDBYS_MISSING,
    STATE,
    UNSEEN,
    Replication,
    see_replication,
)
from pipeline.settings import Settings

#: The sentences of health and `diagnose`.
EXPIRED: Final = (
    "{count:checkout has expired and still holds its stock|checkouts have expired and still hold their stock}"
)
STUCK: Final = "{count:checkout is|checkouts are} overdue: a worker or the scheduler does not run"
NEEDS_REVIEW: Final = "{count:checkout needs|checkouts need} review"
PAYMENTS_REVIEW: Final = (
    "{count:payment of an ended checkout|payments of ended checkouts} could not be voided or refunded"
)
UNKNOWN: Final = "{count:payment call has|payment calls have} had an unknown outcome for five minutes"
PARTITIONS_MISSING: Final = (
    "{count:partition of this month or the next is|partitions of this month or the next are} missing: rows go to the"
    " default partition"
)
PARTITIONS_MISPLACED: Final = "{count:table has|tables have} rows in the default partition that belong to a month"
CHANGES_STUCK: Final = (
    "{count:change of an order is|changes of orders are} overdue: the worker of checkout.order_changes or the scheduler"
    " does not run"
)
CHANGES_REVIEW: Final = "{count:change of an order needs|changes of orders need} review"
REFUNDS_RETURNED: Final = (
    "{count:refund was|refunds were} accepted by the provider and failed later: the buyer does not have the money"
)
DEAD_LETTERED: Final = "{count:outbound webhook is|outbound webhooks are} dead-lettered"

#: Longest time of the query: a database that needs longer is reported as one that does not answer.
STATEMENT_SECONDS: Final = 1.5
#: The checks that need the database.
DATABASE_CHECKS: Final = (
    "migrations",
    "expired_locks",
    "stuck_checkouts",
    "sweep_age",
    "payments_unknown",
    "deliveries_dead_lettered",
    "exchange_rates",
    "tax_rates_ended",
    "needs_review",
    "payments_review",
    "changes_stuck",
    "changes_review",
    "refunds_returned",
    "partitions_missing",
    "partitions_misplaced",
    "synchronous_standbys",
    "replication_lag",
)

LIMIT: Final = text(f"SET LOCAL statement_timeout = {int(STATEMENT_SECONDS * 1000)}")

_SWEEP_AGE = "SELECT CAST(extract(epoch FROM now() - at) AS float8) FROM heartbeats WHERE name = 'sweep'"
SWEEP_AGE: Final = text(_SWEEP_AGE)

FIGURES: Final = text(f"""
    SELECT now() AS at, (SELECT version_num FROM alembic_version) AS revision,
           ({COUNT_EXPIRED}) AS expired, ({COUNT_STUCK}) AS stuck,
           ({COUNT_NEEDS_REVIEW}) AS reviews, ({COUNT_PAYMENTS_REVIEW}) AS payment_reviews,
           ({COUNT_UNKNOWN}) AS unknown, ({COUNT_DEAD_LETTERED}) AS dead_lettered,
           ({COUNT_CHANGES_STUCK}) AS changes_stuck, ({COUNT_CHANGES_REVIEW}) AS changes_review,
           ({COUNT_REFUNDS_RETURNED}) AS refunds_returned,
           ({NEWEST}) AS newest_rate_at,
           ({COUNT_LAPSED}) AS taxes_lapsed,
           ({COUNT_PARTITIONS_MISSING}) AS partitions_missing,
           ({COUNT_PARTITIONS_MISPLACED}) AS partitions_misplaced,
           ({_SWEEP_AGE}) AS sweep_age, {STATE}
""")


class Health(StrEnum):
    """The status of a check. Degraded: checkouts are processed, but later, or not all of them."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked; `count` where there is something to count."""

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
        """The worst status of all checks."""
        found = {check.status for check in self.checks.values()}
        return next((each for each in (Health.UNHEALTHY, Health.DEGRADED) if each in found), Health.HEALTHY)


def check_database(connection: Connection, settings: Settings, head: str) -> tuple[dict[str, Check], datetime]:
    """Return the checks that need the database, within a second and a half; `head` is the expected revision."""
    connection.execute(LIMIT)
    row = connection.execute(FIGURES, bind_conditions(settings)).one()
    replication = see_replication(connection, row)
    checks = {
        "database": _check_writes(replication),
        "migrations": _check_revision(row.revision, head),
        "expired_locks": _count(row.expired, EXPIRED),
        "stuck_checkouts": _count(row.stuck, STUCK),
        "sweep_age": _check_sweep(row.sweep_age, settings),
        "payments_unknown": _count(row.unknown, UNKNOWN),
        "deliveries_dead_lettered": _count(row.dead_lettered, DEAD_LETTERED),
        "exchange_rates": _check_rates(row.newest_rate_at, row.at, settings),
        "tax_rates_ended": _count(
            row.taxes_lapsed,
            "{count:group of tax rates has|groups of tax rates have} ended, and none follows: see `diagnose`",
        ),
        "needs_review": _count(row.reviews, NEEDS_REVIEW),
        "payments_review": _count(row.payment_reviews, PAYMENTS_REVIEW),
        "changes_stuck": _count(row.changes_stuck, CHANGES_STUCK),
        "changes_review": _count(row.changes_review, CHANGES_REVIEW),
        "refunds_returned": _count(row.refunds_returned, REFUNDS_RETURNED),
        "partitions_missing": _count(row.partitions_missing, PARTITIONS_MISSING),
        "partitions_misplaced": _count(row.partitions_misplaced, PARTITIONS_MISPLACED),
        "synchronous_standbys": _check_synchronous(replication),
        "replication_lag": _check_lag(replication),
    }
    return checks, row.at


def lose_database(why: Check) -> dict[str, Check]:
    """Return the same checks for a database that does not answer: `why` for itself, unknown for the others."""
    return {"database": why} | {name: Check(Health.UNHEALTHY, "Not known: see `database`.") for name in DATABASE_CHECKS}


def read_sweep_age(connection: Connection) -> float | None:
    """Return the seconds since the sweep last ran, None when it never has."""
    age_seconds: float | None = connection.execute(SWEEP_AGE).scalar_one_or_none()
    return age_seconds


def _count(count: int, what: str) -> Check:
    if count == 0:
        return Check(Health.HEALTHY, "None.", 0)
    return Check(Health.DEGRADED, f"{fill(what, {'count': count})}.", count)


def _check_writes(replication: Replication) -> Check:
    if replication.objection is not None:
        return Check(Health.UNHEALTHY, replication.objection)
    return Check(Health.HEALTHY, "PostgreSQL answers.")


def _check_synchronous(replication: Replication) -> Check:
    missing = replication.missing
    if missing is None:
        return Check(Health.HEALTHY, UNSEEN)
    if missing:
        return _count(missing, STANDBYS_MISSING)
    return Check(Health.HEALTHY, "None is missing." if replication.synchronous else "None is configured.", 0)


def _check_lag(replication: Replication) -> Check:
    """Return how far each standby is behind; the report is public, so that it names none of them."""
    standbys = replication.standbys
    if standbys is None:
        return Check(Health.HEALTHY, UNSEEN)
    if not standbys:
        return Check(Health.HEALTHY, "No standby is connected.", 0)
    distances = f"Behind by {'; '.join(each.distance for each in standbys)}."
    if late := len(replication.late):
        return Check(Health.DEGRADED, f"{fill(STANDBYS_LATE, {'count': late})}. {distances}", late)
    return Check(Health.HEALTHY, distances, 0)


def _check_revision(revision: Any, head: str) -> Check:
    if revision == head:
        return Check(Health.HEALTHY, "The schema is the one that this code expects.")
    # Revisions are numbered. A schema is expanded before its code is deployed: the former code runs meanwhile.
    if revision is not None and revision > head:
        return Check(Health.DEGRADED, "The schema is newer than this code: deploy the code that belongs to it.")
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
    if age_seconds > stopped_sweep_seconds(settings):
        return Check(Health.UNHEALTHY, "The sweep does not run: start the scheduler.", age)
    if age_seconds > late_sweep_seconds(settings):
        return Check(Health.DEGRADED, "The sweep is late: check the scheduler.", age)
    return Check(Health.HEALTHY, "The sweep runs; seconds since its last run.", age)
