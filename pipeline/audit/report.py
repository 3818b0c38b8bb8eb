"""Check every invariant against the stored facts. Reads only; safe to run in production at any moment."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.names import PARTITIONED
from pipeline.audit.invariants.changes import CHANGES
from pipeline.audit.invariants.history import HISTORY
from pipeline.audit.invariants.locks import LOCKS
from pipeline.audit.invariants.orders import ORDERS
from pipeline.audit.invariants.payments import PAYMENTS
from pipeline.audit.invariants.refunds import REFUNDS
from pipeline.audit.invariants.stock import STOCK
from pipeline.audit.invariants.times import TIMES
from pipeline.audit.invariants.undone import UNDONE
from pipeline.audit.narrowing import NARROW
from pipeline.checkouts.conditions import COUNT_NEEDS_REVIEW, COUNT_PAYMENTS_REVIEW, bind_conditions
from pipeline.database.ids import IdRange
from pipeline.database.invariant import Invariant
from pipeline.gateways.installed import load_gateways
from pipeline.settings import Settings

#: The engine's own. A gateway may add some about its tables: `list_invariants` has those too.
INVARIANTS: Final[tuple[Invariant, ...]] = (
    *STOCK,
    *LOCKS,
    *ORDERS,
    *PAYMENTS,
    *HISTORY,
    *UNDONE,
    *TIMES,
    *REFUNDS,
    *CHANGES,
)

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


def list_invariants() -> tuple[Invariant, ...]:
    """Return the engine's invariants, then those of the installed gateways in the order of their names.

    Also of gateways that are not chosen: payments of an earlier choice are still in the database.
    """
    return (*INVARIANTS, *(each for gateway in load_gateways() for each in gateway.list_invariants()))


def audit(connection: Connection, settings: Settings, *, queued: Collection[UUID] = ()) -> list[Violation]:
    """Return the violated invariants. See `take_report`."""
    return list(take_report(connection, settings, queued=queued).violations)


def take_report(
    connection: Connection, settings: Settings, *, queued: Collection[UUID] = (), ids: IdRange | None = None
) -> AuditReport:
    """Check every invariant on one snapshot, in a read-only transaction of its own, and leave the connection as it was.

    `queued` are checkouts whose message waits in the broker: they are not overdue. Read them before calling. With `ids`
    the checkouts of this range are checked; sums over all checkouts, such as stock, are still those of all.
    """
    normal = connection.get_execution_options()
    isolation = connection.default_isolation_level or "READ COMMITTED"
    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    try:
        with connection.begin():
            return check(connection, settings, queued=queued, ids=ids)
    finally:
        connection.execution_options(
            isolation_level=normal.get("isolation_level", isolation),
            postgresql_readonly=normal.get("postgresql_readonly", False),
        )


def check(
    connection: Connection, settings: Settings, *, queued: Collection[UUID] = (), ids: IdRange | None = None
) -> AuditReport:
    """Check every invariant in the connection's own transaction, on what that transaction sees."""
    checked, skipped = _split(settings)
    facts = {**bind_conditions(settings), "queued": list(queued)}
    return AuditReport(
        violations=_find_all(connection, checked, facts, ids),
        checked=checked,
        skipped=skipped,
        needs_review=connection.execute(
            text(f"SELECT ({COUNT_NEEDS_REVIEW}) + ({COUNT_PAYMENTS_REVIEW})")
        ).scalar_one(),
    )


def check_history(connection: Connection, settings: Settings, ids: IdRange) -> tuple[Violation, ...]:
    """Check, for a range of checkouts, the invariants that read what `checkout partitions detach` takes away."""
    facts = {**bind_conditions(settings), "queued": []}
    reading = [each for each in INVARIANTS if each.by_checkout and any(table in each.sql for table in PARTITIONED)]
    return _find_all(connection, reading, facts, ids)


def _split(settings: Settings) -> tuple[tuple[Invariant, ...], tuple[Invariant, ...]]:
    """Return what can be checked and what cannot: tables in another database are beyond this snapshot."""
    checked, skipped = list(INVARIANTS), list[Invariant]()
    for gateway in load_gateways():
        # Without invariants its settings are not read: a mistake in them does not keep the audit from running.
        if own := gateway.list_invariants():
            (checked if gateway.read(settings).has_tables_here(settings) else skipped).extend(own)
    return tuple(checked), tuple(skipped)


def _find_all(
    connection: Connection, invariants: Iterable[Invariant], facts: Mapping[str, Any], ids: IdRange | None
) -> tuple[Violation, ...]:
    found = (_find(connection, each, facts, ids if each.by_checkout else None) for each in invariants)
    return tuple(violation for violation in found if violation is not None)


def _find(
    connection: Connection, invariant: Invariant, facts: Mapping[str, Any], ids: IdRange | None
) -> Violation | None:
    if invariant.search is not None:
        found = list(invariant.search(connection, ids))
        return Violation(invariant.name, invariant.meaning, len(found), tuple(found[:SHOWN_ROWS])) if found else None
    # In order, so that two audits of the same rows show the same ones first, whichever plan found them.
    first = f"""
        {"" if ids is None else NARROW}
        SELECT count(*) OVER () AS total_, broken.* FROM ({invariant.sql}) broken ORDER BY broken LIMIT {SHOWN_ROWS}
    """
    rows = [
        dict(row)
        for row in connection.execute(text(first), facts if ids is None else {**facts, **ids.bound}).mappings()
    ]
    if not rows:
        return None
    totals = [row.pop("total_") for row in rows]
    return Violation(invariant.name, invariant.meaning, totals[0], tuple(rows))
