"""Tools for race tests: row locks of the test, blocked gateway calls, threads that start at one moment.

Waits for locks are read from PostgreSQL, never guessed from the clock.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from pipeline.gateways.gateway import Call
from tests.support.harness import Works
from tests.support.workbench import Spy

T = TypeVar("T")

#: Bound of every wait. Below the five seconds after which PostgreSQL ends an idle transaction or a wait for a lock.
SECONDS: Final = 4.0

BLOCKED: Final = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def spin_until(is_so: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; fail with `what` after the bound."""
    ends_at = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < ends_at, f"{what}: not within {SECONDS} s"
        time.sleep(0.005)


def count_blocked(engine: Engine) -> int:
    """Return how many sessions of this database wait for a lock."""
    with engine.connect() as connection:
        return int(connection.execute(BLOCKED).scalar_one())


class Crowd:
    """Background threads of a test."""

    def __init__(self, engine: Engine) -> None:
        """Set the database whose lock waits are counted."""
        self._engine = engine
        self._pool = ThreadPoolExecutor(8)

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Begin work on its own thread."""
        return self._pool.submit(work)

    def begin_blocked(self, work: Callable[[], T]) -> Future[T]:
        """Begin work and return once one more session than before waits for a lock."""
        before = count_blocked(self._engine)
        future = self.begin(work)
        spin_until(lambda: count_blocked(self._engine) > before or future.done(), "the rival does not wait")
        assert not future.done(), f"it went through instead of waiting: {future!r}"
        return future

    def close(self) -> None:
        """Wait for all."""
        self._pool.shutdown()


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run all, started at one moment; return what each returned, or the exception that it raised."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        barrier.wait(SECONDS)
        try:
            return work()
        except Exception as error:  # noqa: BLE001 (the test asserts what each side raised)
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(SECONDS * 3) for future in [pool.submit(run, work) for work in works]]


@contextmanager
def hold(engine: Engine, sql: str, **parameters: Any) -> Iterator[Connection]:
    """Keep the locks of this statement until the block ends."""
    with engine.begin() as connection:
        connection.execute(text(sql), parameters)
        yield connection


@contextmanager
def hold_checkout(engine: Engine, checkout_id: UUID) -> Iterator[Connection]:
    """Keep the row lock of one checkout until the block ends."""
    with hold(engine, "SELECT FROM checkouts WHERE id = :id FOR UPDATE", id=checkout_id) as connection:
        yield connection


class Gate:
    """Blocks calls of one verb, `before` the bank gets them or `after` it has answered."""

    def __init__(self, spy: Spy, verb: str, where: str) -> None:
        """Block the calls of this verb through the spy."""
        self.reached = threading.Event()
        self._open = threading.Event()
        setattr(spy, where, self._stop)
        self._verb = verb

    def _stop(self, verb: str, call: Call) -> None:
        if verb == self._verb and not self._open.is_set():
            self.reached.set()
            assert self._open.wait(SECONDS), f"the gate of {call.key} was not opened"

    def wait(self) -> None:
        """Return once a call is blocked."""
        assert self.reached.wait(SECONDS), f"no {self._verb} within {SECONDS} s"

    def open(self) -> None:
        """Let this call and all later ones pass."""
        self._open.set()


def count_events(engine: Engine, kind: str, ids: Sequence[UUID]) -> int:
    """Return how many events of this kind these checkouts have."""
    with engine.connect() as connection:
        return int(
            connection.execute(
                text("SELECT count(*) FROM events WHERE kind = :kind AND checkout_id = ANY(CAST(:ids AS uuid[]))"),
                {"kind": kind, "ids": list(ids)},
            ).scalar_one()
        )


def pump_both(*works: Works) -> None:
    """Process all queues of each engine."""
    for each in works:
        each.pump()
