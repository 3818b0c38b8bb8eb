"""Transactions, repeated when it is the database that fails."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from pipeline.database.connections import is_transient, reading, transaction
from pipeline.database.wake_ups import take_wake_ups

log = structlog.get_logger()

T = TypeVar("T")
Wake = Callable[[Sequence[UUID]], object]

#: Pauses before a failed transaction is repeated. About 3.6 s in all, well inside the time that a shutdown waits: a
#: shorter deadlock or restart costs no attempt, a longer outage is left to the sweep. None is longer than half a
#: second: by so much a planned switchover lasts longer for a checkout than for the database.
TRANSIENT_WAITS: Final = (0.02, 0.08, 0.2, 0.3, *[0.5] * 6)


class TransactionRunner:
    """Runs work in transactions of its own. Thread-safe; it sends no messages."""

    def __init__(
        self, database: Engine, *, waits: Sequence[float] = TRANSIENT_WAITS, wake: Wake = lambda _: None
    ) -> None:
        """Take the engine. `waits` are the pauses before a transaction is repeated.

        `wake` is called after each commit that wakes long polls, with their checkouts; it must not raise.
        """
        self._database = database
        self._waits = tuple(waits)
        self._wake = wake

    def run(self, work: Callable[[Connection], T], *, more_repeats: int = 0) -> T:
        """Return what `work` returned in the transaction that committed.

        `work` is called once for each attempt: what it does outside the database must be harmless twice. With
        `more_repeats` there are so many more attempts, each after the longest pause.
        """
        return self._repeat(lambda: transaction(self._database), work, (*self._waits, *self._waits[-1:] * more_repeats))

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` read."""
        return self._repeat(lambda: reading(self._database), work, self._waits)

    def _repeat(
        self,
        begin: Callable[[], AbstractContextManager[Connection]],
        work: Callable[[Connection], T],
        waits: Sequence[float],
    ) -> T:
        for pause in (*waits, None):
            try:
                with begin() as connection:
                    take_wake_ups(connection)  # those of an attempt that was rolled back
                    done = work(connection)
                    woken = take_wake_ups(connection)
            except Exception as error:
                if pause is None or not is_transient(error):
                    raise
                log.info("transaction.repeated", error=str(error))
                time.sleep(pause * (0.5 + random.random()))  # noqa: S311 (spreads repeats, guards nothing)
            else:
                if woken:
                    self._wake(woken)
                return done
        raise AssertionError("the last pause is None")
