"""Moves an owner to another cell: drain, close, copy, switch, remove.

Each step is one transaction in one database, and each leaves what the next run finds: a run that was killed is repeated
by the same command. Between the copy and the switch both cells have the rows, and the old one lets nothing of them
change; from the switch on the old one says where the owner lives.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from models.states import MoveState
from pipeline.audit import check
from pipeline.database import is_transient, transaction
from pipeline.database.ids import IdRange
from pipeline.operations.cells import gate
from pipeline.operations.cells.copying import PATIENT, Fingerprints, copy_rows, take_fingerprints
from pipeline.operations.cells.obstacles import CannotMoveError, check_source, check_target, find_active
from pipeline.operations.cells.removal import remove_rows, repeat_locked
from pipeline.settings import Settings

#: How often it is looked whether the active checkouts have ended.
POLL_SECONDS: Final = 0.5
#: Of the one move that a database may be the source or the target of.
LOCK: Final = 7_266_281

#: A purchase in the target may use a coupon at the same moment.
COPY_ATTEMPTS: Final = 5
#: A server needs a moment to find that a killed process is gone.
LOCK_ATTEMPTS: Final = 15

SAME: Final = "The target is this same database: name that of another cell."

IDENTITY: Final = text("""
    SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
    FROM pg_control_system()
""")
REMEMBER_TARGET: Final = text("""
    UPDATE owner_moves SET facts = facts || jsonb_build_object('target', CAST(:target AS text)) WHERE owner = :owner
""")
ARRIVE: Final = text("""
    INSERT INTO owner_moves (owner, id, cell, state, facts)
    VALUES (:owner, :id, :cell, 'arrived', CAST(:facts AS jsonb))
""")
RANGE: Final = text("""
    SELECT (SELECT id FROM checkouts WHERE owner = :owner ORDER BY id LIMIT 1),
           (SELECT id FROM checkouts WHERE owner = :owner ORDER BY id DESC LIMIT 1)
""")


@dataclass(frozen=True, slots=True)
class Moving:
    """One move. `cell` is the name of the target; `pass_step` is called with the name of each step that has ended."""

    owner: str
    cell: str
    source: Engine
    target: Engine
    settings: Settings
    target_settings: Settings
    wait_seconds: float
    pass_step: Callable[[str], None] = lambda _: None


def plan_move(moving: Moving) -> tuple[Mapping[str, int], list[str]]:
    """Return how many rows of each table would be copied, and what is still active. Changes nothing.

    Raises CannotMoveError as `move_owner` does.
    """
    with moving.source.begin() as source, moving.target.begin() as target:
        for connection in (source, target):
            connection.exec_driver_sql(PATIENT)
        _check(moving, source, target, gate.find_move(source, moving.owner))
        counts = {name: found[0] for name, found in take_fingerprints(source, moving.owner).items()}
        return counts, find_active(source, moving.owner)


def move_owner(moving: Moving) -> Mapping[str, int]:
    """Move the owner; return how many rows of each table it has in the target.

    Raises CannotMoveError, after which the owner is where it was, and open. After any other error, and after a kill,
    the same command finishes the move.
    """
    with moving.source.connect() as source, moving.target.connect() as target:
        for connection in (source, target):
            connection.execution_options(isolation_level="AUTOCOMMIT")
        if _identify(source) == _identify(target):
            raise CannotMoveError(SAME)
        for connection in (source, target):
            _lock(connection)
        with moving.source.begin() as here, moving.target.begin() as there:
            for connection in (here, there):
                connection.exec_driver_sql(PATIENT)
            found = gate.find_move(here, moving.owner)
            _check(moving, here, there, found)
        if found is None or found.state is MoveState.ARRIVED:
            _begin(moving, uuid4())
        if found is None or found.state is not MoveState.MOVED:
            _carry(moving)
        remove_rows(moving.source, moving.owner, moving.pass_step)
        moving.pass_step("removed")
        repeat_locked(moving.source, gate.remove_triggers)
        return {name: count for name, (count, _) in _read_arrival(moving).items()}


def _lock(connection: Connection) -> None:
    """Keep other moves out of this database until the connection is closed."""
    connection.detach()
    for _ in range(LOCK_ATTEMPTS):
        if connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar():
            return
        time.sleep(POLL_SECONDS / 2)
    raise CannotMoveError("Another move runs in one of the two cells: repeat the command when it has ended.")


def _check(moving: Moving, source: Connection, target: Connection, found: gate.OwnerMove | None) -> None:
    """Raise CannotMoveError for a move that cannot begin, and for one that began with another target."""
    if not moving.settings.cell:
        raise CannotMoveError("This engine has no name: set CHECKOUT_CELL, here and in the target, each to its own.")
    if moving.cell == moving.settings.cell:
        raise CannotMoveError(f"The target is called {moving.cell} as this cell is: give it its own name.")
    identity = _identify(target)
    if identity == _identify(source):
        raise CannotMoveError(SAME)
    if found is None or found.state is MoveState.ARRIVED:
        if other := gate.find_other(source, moving.owner):
            raise CannotMoveError(f"The owner {other} is moving: finish that with its own command first.")
        check_source(source, moving.owner, moving.settings)
        check_target(source, target, moving.owner, moving.cell)
    elif found.cell != moving.cell or found.facts.get("target") != identity:
        raise CannotMoveError(f"The owner {moving.owner} moves to cell {found.cell}, and that is another database.")


def _begin(moving: Moving, move_id: UUID) -> None:
    with moving.target.begin() as target:
        identity = _identify(target)

    def begin(connection: Connection) -> None:
        gate.begin_draining(connection, moving.owner, move_id, moving.cell)
        connection.execute(REMEMBER_TARGET, {"owner": moving.owner, "target": identity})

    repeat_locked(moving.source, begin)
    moving.pass_step("draining")


def _carry(moving: Moving) -> None:
    """Close, copy and switch; open the owner again if it cannot be moved."""
    try:
        _drain(moving)
        moving.pass_step("closed")
        _copy(moving)
        moving.pass_step("copied")
    except (CannotMoveError, KeyboardInterrupt):
        if _find_arrival(moving) is None:
            repeat_locked(moving.source, lambda connection: gate.open_again(connection, moving.owner))
        raise
    repeat_locked(moving.source, lambda connection: _switch(moving, connection))
    moving.pass_step("switched")


def _drain(moving: Moving) -> None:
    """Wait until nothing of the owner is active, and let nothing of it change from then on."""
    ends_at = time.monotonic() + moving.wait_seconds
    while True:
        with moving.source.begin() as connection:
            active = find_active(connection, moving.owner)
        if not active:
            active = repeat_locked(moving.source, lambda connection: _close(moving, connection))
            if not active:
                return
        if time.monotonic() >= ends_at:
            raise CannotMoveError(
                f"The owner {moving.owner} still has {', '.join(active)} and is open again: repeat the command"
                " later, or with a longer --wait-seconds."
            )
        time.sleep(POLL_SECONDS)


def _close(moving: Moving, connection: Connection) -> list[str]:
    """Close the owner, and return nothing; or return what has become active meanwhile."""
    found = gate.find_move(connection, moving.owner)
    if found is not None and found.state is MoveState.CLOSED:
        return []
    gate.lock_guarded(connection)
    active = find_active(connection, moving.owner)
    if not active:
        check_source(connection, moving.owner, moving.settings)
        gate.close(connection, moving.owner)
    return active


def _copy(moving: Moving) -> None:
    """Copy all rows, unless that has been committed; again when it is the database that failed."""
    for attempt in range(COPY_ATTEMPTS):
        if _find_arrival(moving) is not None:
            return
        try:
            _copy_once(moving)
        except DBAPIError as error:
            if not is_transient(error) or attempt == COPY_ATTEMPTS - 1:
                raise
            time.sleep(POLL_SECONDS)


def _copy_once(moving: Moving) -> None:
    """Copy all rows and check both sides, in one transaction of the target."""
    reading = moving.source.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    writing = moving.target.execution_options(isolation_level="REPEATABLE READ")
    try:
        with reading.begin() as source, transaction(writing) as target:
            for connection in (source, target):
                connection.exec_driver_sql(PATIENT)
            found = gate.find_move(source, moving.owner)
            assert found is not None  # noqa: S101 (it is closed)
            check_target(source, target, moving.owner, moving.cell)
            ids = _read_range(source, moving.owner)
            before = _find_violations(moving, target, ids)
            copied = copy_rows(source, target, moving.owner)
            gate.give_polls(target, found)
            facts = json.dumps({"copied": copied})
            values = {"owner": moving.owner, "id": found.id, "cell": moving.settings.cell, "facts": facts}
            target.execute(ARRIVE, values)
            if broken := sorted(set(_find_violations(moving, target, ids)) - set(before)):
                raise CannotMoveError(
                    f"The audit of the target would find {', '.join(name for name, _ in broken)}: run it in this cell,"
                    " and settle what it finds."
                )
            moving.pass_step("copying")
    except IntegrityError as error:
        name = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        raise CannotMoveError(
            f"The target has a row in place of one of {moving.owner} ({name}): remove the one that is wrong."
        ) from None


def _switch(moving: Moving, connection: Connection) -> None:
    copied = _read_arrival(moving)
    if take_fingerprints(connection, moving.owner) != copied:
        raise CannotMoveError(f"Rows of {moving.owner} have changed since they were copied: restore them, and repeat.")
    gate.switch(connection, moving.owner)


def _identify(connection: Connection) -> str:
    """Return what no two databases have in common."""
    return str(connection.execute(IDENTITY).scalar_one())


def _find_arrival(moving: Moving) -> gate.OwnerMove | None:
    """Return what the target knows of this move, None if its copy has not been committed."""
    with moving.source.begin() as source, moving.target.begin() as target:
        here, there = gate.find_move(source, moving.owner), gate.find_move(target, moving.owner)
    return there if here is not None and there is not None and here.id == there.id else None


def _read_arrival(moving: Moving) -> Fingerprints:
    found = _find_arrival(moving)
    if found is None:
        raise CannotMoveError(f"The target does not know this move of {moving.owner}: name the one that it went to.")
    copied: dict[str, list[Any]] = found.facts["copied"]
    return copied


def _read_range(connection: Connection, owner: str) -> IdRange:
    first, last = connection.execute(RANGE, {"owner": owner}).one()
    return IdRange(UUID(int=0), UUID(int=0)) if first is None else IdRange(first, UUID(int=last.int + 1))


def _find_violations(moving: Moving, connection: Connection, ids: IdRange) -> list[tuple[str, int]]:
    report = check(connection, moving.target_settings, ids=ids)
    return [(each.invariant, each.count) for each in report.violations]
