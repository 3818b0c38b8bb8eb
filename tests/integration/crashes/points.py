"""Where a process may die: before and after each commit, each send and each call, found by passing by."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from pipeline.database import TransactionRunner, assert_no_transaction
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.messaging import OutgoingMessage
from pipeline.orders import ChangeRunner
from pipeline.saga import Executor, Phase, Runner, Unwinder
from pipeline.settings import Settings
from tests.support.harness import Line, Works
from tests.support.workbench import Spy


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One boundary: `where` is a phase's doing or undoing, `what` is before or after what, `nth` how often by then."""

    where: str
    what: str
    nth: int

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.where}, {self.what}, {self.nth}"


@dataclass
class Trace:
    """Notes each boundary; at the chosen one the process dies, as by SIGKILL from outside."""

    chosen: Point | None = None
    where: str = "entry"
    points: list[Point] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, chosen: Point | None) -> None:
        """Forget what was passed by so far: from here on it counts."""
        self.points.clear()
        self._counts.clear()
        self.chosen = chosen

    def pass_by(self, what: str) -> None:
        """Note a boundary, or die there."""
        with self._lock:
            self._counts[self.where, what] += 1
            point = Point(self.where, what, self._counts[self.where, what])
            self.points.append(point)
            if point == self.chosen:
                os.kill(os.getpid(), signal.SIGKILL)


class TracingLine(Line):
    """A queue that dies with its process."""

    def __init__(self, trace: Trace) -> None:
        """Note what is sent."""
        super().__init__()
        self._trace = trace

    def send(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Queue the messages. None may leave before what it follows from is committed."""
        try:
            assert_no_transaction()
        except RuntimeError:
            self._trace.objections.append("a message was sent inside a transaction")
        self._trace.pass_by("before send")
        sent = super().send(messages)
        self._trace.pass_by("after send")
        return sent


class TracingTransactions(TransactionRunner):
    """Transactions that note their commits."""

    trace: Trace

    def _repeat(
        self,
        begin: Callable[[], AbstractContextManager[Connection]],
        work: Callable[[Connection], Any],
        waits: Sequence[float],
    ) -> Any:
        def noted(connection: Connection) -> Any:
            done = work(connection)
            self.trace.pass_by("before commit")
            return done

        done = super()._repeat(begin, noted, waits)
        self.trace.pass_by("after commit")
        return done


class TracingExecutor(Executor):
    """An executor that notes the steps that raise."""

    trace: Trace

    def _fail(self, checkout_id: UUID, error: Exception, fail: Any) -> Any:
        # What the tables have to refuse, the code has got wrong.
        self.trace.objections.append(f"a step raised {type(error).__name__}")
        return super()._fail(checkout_id, error, fail)


class TracingRunner(Runner):
    """A runner that says which phase it does."""

    trace: Trace

    def run(self, phase: Phase, ids: Sequence[UUID]) -> None:
        """Do a phase."""
        self.trace.where = f"do {phase.name}"
        super().run(phase, ids)


class TracingUnwinder(Unwinder):
    """An unwinder that says which phase it undoes."""

    trace: Trace

    def _undo(self, connection: Connection, phase: Phase, *given: Any) -> bool:
        self.trace.where = f"undo {phase.name}"
        return super()._undo(connection, phase, *given)


class TracingChanges(ChangeRunner):
    """A runner of changes of orders that says that it does them."""

    trace: Trace

    def run(self, ids: Sequence[UUID]) -> None:
        """Do changes."""
        self.trace.where = "change"
        super().run(ids)


class TracingWorks(Works):
    """The engine of the harness, with every boundary noted."""

    def __init__(self, engine: Engine, settings: Settings, trace: Trace) -> None:
        """Put it together."""
        bank = SandboxGateway(settings)
        spy = Spy(
            bank,
            before=lambda verb, _call: trace.pass_by(f"before call {verb}"),
            after=lambda verb, _call: trace.pass_by(f"after call {verb}"),
            before_charge=lambda verb, _call: trace.pass_by(f"before call {verb}"),
            after_charge=lambda verb, _call: trace.pass_by(f"after call {verb}"),
        )
        super().__init__(engine, settings, bank)
        self.executor.close()
        self.line = TracingLine(trace)
        transactions = TracingTransactions(engine)
        transactions.trace = trace
        executor = TracingExecutor(transactions, self.line, spy, settings)
        executor.trace = trace
        self.wire(transactions, executor, spy)
        self.runner = TracingRunner(executor, spy, settings)
        self.runner.trace = trace
        self.unwinder = TracingUnwinder(executor, settings)
        self.unwinder.trace = trace
        self.changes = TracingChanges(executor, settings)
        self.changes.trace = trace
