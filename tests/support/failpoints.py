"""An engine that can crash at any point between two effects, and be started again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, event

from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.messaging import RESOLVE, UNWIND, WEBHOOKS, OutgoingMessage
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.saga import CHAIN
from pipeline.saga.resolve import resolve
from pipeline.settings import Settings
from tests.support.harness import Line, Works
from tests.support.workbench import Spy

FAILPOINTS: Final = ("before_commit", "before_send", "after_send", "before_call", "after_call")

#: Nothing expires by itself: the state machine decides when. No attempt is the last: other tests cover that.
PATIENT: Final[dict[str, Any]] = {
    "redeliver_after_seconds": 3600,
    "redeliver_always_after_seconds": 7200,
    "retry_seconds": 3600,
    "retry_cap_seconds": 3600,
    "gateway_lease_seconds": 3600,
    "gateway_timeout_seconds": 5,
    "max_attempts": 1000,
    "max_undo_attempts": 1000,
}


class SimulatedCrash(BaseException):
    """The process has crashed. Not an Exception: no handler may catch it, as none catches SIGKILL."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Where the process crashes, after it has passed there `passes` times."""

    where: str
    passes: int


class Failpoints:
    """Raises where a crash is armed, once."""

    def __init__(self) -> None:
        """Arm nothing."""
        self.armed: Crash | None = None

    def pass_by(self, name: str) -> None:
        """Raise SimulatedCrash if a crash is armed here."""
        if self.armed is None or self.armed.where != name:
            return
        if self.armed.passes:
            self.armed = replace(self.armed, passes=self.armed.passes - 1)
        else:
            self.armed = None
            raise SimulatedCrash(name)


class FailingLine(Line):
    """A queue whose sender may crash before or after it sends."""

    def __init__(self, failpoints: Failpoints) -> None:
        """Watch these failpoints."""
        super().__init__()
        self._failpoints = failpoints

    def send(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Queue the messages, or crash."""
        self._failpoints.pass_by("before_send")
        sent = super().send(messages)
        self._failpoints.pass_by("after_send")
        return sent


class FailingWorks(Works):
    """The engine of the harness with failpoints at its commits, its messages and its calls."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Build the engine with its failpoints."""
        bank = SandboxGateway(settings)
        super().__init__(engine, settings, bank)
        self.bank = bank
        self.failpoints = Failpoints()
        self.line = FailingLine(self.failpoints)
        self.spy = Spy(
            bank,
            before=lambda *_: self.failpoints.pass_by("before_call"),
            after=lambda *_: self.failpoints.pass_by("after_call"),
            before_charge=lambda *_: self.failpoints.pass_by("before_call"),
            after_charge=lambda *_: self.failpoints.pass_by("after_call"),
        )
        event.listen(engine, "commit", self._note_commit)
        self.restart()

    def restart(self) -> None:
        """Restart as a new process: the results of calls in flight are lost."""
        self.executor.close()
        self.use(self.spy)

    def close(self) -> None:
        """Close threads and connections, and remove the listener from the database engine."""
        event.remove(self.engine, "commit", self._note_commit)
        super().close()

    def work(self, queue: str, ids: Sequence[UUID]) -> None:
        """Process a batch like the actor of this queue."""
        if queue == UNWIND:
            self.unwinder.run(ids)
        elif queue == RESOLVE:
            resolve(self.transactions, self.runner, self.unwinder, self.poller, ids, read_charges=self.charges.run)
        elif queue == WEBHOOKS:
            self.inbox.run(ids)
        elif queue == ORDER_CHANGES:
            self.changes.run(ids)
        else:
            self.runner.run(next(phase for phase in CHAIN if phase.queue == queue), ids)

    def visit_bank(self, reference: str, *, approves: bool) -> None:
        """Approve or refuse a payment at the bank's page; the bank refuses when there is nothing to decide."""
        if approves:
            self.bank.approve(reference)
        else:
            self.bank.refuse(reference)

    def _note_commit(self, _connection: Connection) -> None:
        self.failpoints.pass_by("before_commit")
