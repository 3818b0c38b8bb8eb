"""Check every invariant against the stored facts. Reads only; safe to run in production at any moment."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.audit.invariants.bank import BANK
from pipeline.audit.invariants.history import HISTORY
from pipeline.audit.invariants.invariant import Invariant
from pipeline.audit.invariants.locks import LOCKS
from pipeline.audit.invariants.orders import ORDERS
from pipeline.audit.invariants.payments import PAYMENTS
from pipeline.audit.invariants.stock import STOCK
from pipeline.audit.invariants.times import TIMES
from pipeline.audit.invariants.undone import UNDONE
from pipeline.checkouts.conditions import COUNT_NEEDS_REVIEW, COUNT_PAYMENTS_REVIEW, bind_conditions
from pipeline.gateways.sandbox.settings import SandboxSettings
from pipeline.settings import Settings

INVARIANTS: Final[tuple[Invariant, ...]] = (*STOCK, *LOCKS, *ORDERS, *PAYMENTS, *HISTORY, *UNDONE, *TIMES, *BANK)

#: Rows of one violation that are fetched. An invariant may be violated by every checkout; some rows are enough to see
#: why.
SHOWN_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated invariant: how many rows violate it, and the first of them."""

    invariant: str
    meaning: str
    count: int
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What one audit found, and what it did not check.

    `needs_review` is a figure, not a violation: checkouts and payments of ended checkouts that need review.
    """

    violations: tuple[Violation, ...]
    checked: tuple[Invariant, ...]
    skipped: tuple[Invariant, ...]
    needs_review: int


def audit(connection: Connection, settings: Settings, *, queued: Collection[UUID] = ()) -> list[Violation]:
    """Return the violated invariants. See `take_report`."""
    return list(take_report(connection, settings, queued=queued).violations)


def take_report(connection: Connection, settings: Settings, *, queued: Collection[UUID] = ()) -> AuditReport:
    """Check every invariant on one snapshot, in a read-only transaction of its own, and leave the connection as it was.

    `queued` are checkouts whose message waits in the broker: they are not overdue. Read them before calling.
    """
    normal = connection.get_execution_options()
    isolation = connection.default_isolation_level or "READ COMMITTED"
    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    try:
        with connection.begin():
            return check(connection, settings, queued=queued)
    finally:
        connection.execution_options(
            isolation_level=normal.get("isolation_level", isolation),
            postgresql_readonly=normal.get("postgresql_readonly", False),
        )


def check(connection: Connection, settings: Settings, *, queued: Collection[UUID] = ()) -> AuditReport:
    """Check every invariant in the connection's own transaction, on what that transaction sees."""
    checked = tuple(invariant for invariant in INVARIANTS if not invariant.bank or _bank_is_here(settings))
    facts = {**bind_conditions(settings), "queued": list(queued)}
    found = [_find(connection, invariant, facts) for invariant in checked]
    return AuditReport(
        violations=tuple(violation for violation in found if violation is not None),
        checked=checked,
        skipped=tuple(invariant for invariant in INVARIANTS if invariant not in checked),
        needs_review=connection.execute(
            text(f"SELECT ({COUNT_NEEDS_REVIEW}) + ({COUNT_PAYMENTS_REVIEW})")
        ).scalar_one(),
    )


def _bank_is_here(settings: Settings) -> bool:
    # The sandbox bank may have its tables in another database, which one snapshot cannot reach.
    own = SandboxSettings.read(settings).database_url
    return own is None or own == settings.database_url


def _find(connection: Connection, invariant: Invariant, facts: Mapping[str, Any]) -> Violation | None:
    if invariant.search is not None:
        found = list(invariant.search(connection))
        return Violation(invariant.name, invariant.meaning, len(found), tuple(found[:SHOWN_ROWS])) if found else None
    # In order, so that two audits of the same rows show the same ones first, whichever plan found them.
    first = f"""
        SELECT count(*) OVER () AS total_, broken.* FROM ({invariant.sql}) broken ORDER BY broken LIMIT {SHOWN_ROWS}
    """
    rows = [dict(row) for row in connection.execute(text(first), facts).mappings()]
    if not rows:
        return None
    totals = [row.pop("total_") for row in rows]
    return Violation(invariant.name, invariant.meaning, totals[0], tuple(rows))
