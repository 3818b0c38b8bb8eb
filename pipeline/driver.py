"""Runs steps over batches: short transactions, gateway calls between them, nobody pulled down by a neighbour.

A step is one transaction over some checkouts. It may ask for gateway calls, for messages to be sent, and for some of
its checkouts to be stepped again. The driver commits, sends, calls with no transaction open, and hands the answers to
the next step as they arrive, so that one slow call never holds its batch.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final, assert_never
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from pipeline.books import Verb
from pipeline.database import assert_no_transaction, is_transient, transaction
from pipeline.gateways.protocol import Answer, Gateway, Misconfigured, Unknown
from pipeline.operations import Answered, Planned
from pipeline.sender import Send, Sender
from pipeline.settings import Settings

log = structlog.get_logger()

#: Repeats of a transaction that the database could not carry through. About 3.6 s in all, well inside a shutdown's
#: grace: a deadlock or a restart that is over by then costs nothing, a longer outage is left to the sweep.
TRANSIENT_WAITS: Final = (0.02, 0.1, 0.5, 1.0, 2.0)

#: How often the last of these is waited out once more for the answers of a gateway. Without them everybody waits until
#: their calls' claims have run out, 15 s; with 7.6 s of repeats that is over within 10 s of a database's return.
ANSWER_REPEATS: Final = 2

#: Answers that arrive within this time of each other are written in one transaction.
GATHER_SECONDS: Final = 0.01


@dataclass(slots=True)
class Step:
    """What a step leaves to be done once it has committed: `again` holds groups to be stepped once more.

    `began` is when its transaction did, by this process's monotonic clock; the driver writes it.
    """

    calls: list[Planned] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    again: list[list[UUID]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    began: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """Checkouts to step, with the answers that have come in for them."""

    ids: Sequence[UUID]
    answers: Sequence[Answered] = ()

    def alone(self) -> list["Task"]:
        """Return one task for each checkout."""
        return [
            Task([id_], [each for each in self.answers if each.planned.call.checkout_id == id_]) for id_ in self.ids
        ]


StepFunction = Callable[[Connection, Sequence[UUID], Sequence[Answered]], Step]
FailFunction = Callable[[Connection, UUID, Exception], Step]


class Driver:
    """Shared by the runner and the unwind. Thread-safe; one a process."""

    def __init__(
        self,
        database: Engine,
        sender: Sender,
        gateway: Gateway,
        settings: Settings,
        *,
        waits: Sequence[float] = TRANSIENT_WAITS,
    ) -> None:
        """Take what the steps need. The gateway's calls in flight are bounded for the whole process.

        `waits` are the pauses before a transaction is repeated that the database could not carry through.
        """
        self._waits = waits
        self._answer_waits = (*waits, *(tuple(waits[-1:]) * ANSWER_REPEATS))
        self.database = database
        self.sender = sender
        self.gateway = gateway
        #: A call must be begun this soon after its claim, so that it has ended before anybody else may make it.
        self._patience_seconds = settings.gateway_claim_seconds - gateway.call_seconds
        self._calls = ThreadPoolExecutor(settings.gateway_concurrency, thread_name_prefix="gateway")

    def drive(self, ids: Sequence[UUID], step: StepFunction, fail: FailFunction) -> None:
        """Step these checkouts until nothing is left to do now. Never raises for what a checkout may cause."""
        tasks = deque([Task(list(dict.fromkeys(ids)))])
        in_flight: set[Future[Answered]] = set()
        while tasks or in_flight:
            while tasks:
                for done in self._attempt(tasks.popleft(), step, fail):
                    if done.sends:
                        self.sender.send(done.sends)
                    tasks.extend(Task(group) for group in done.again)
                    in_flight.update(self._submit(planned, done.began) for planned in done.calls)
            if in_flight:
                answers, in_flight = _gather(in_flight)
                ids_answered = dict.fromkeys(each.planned.call.checkout_id for each in answers)
                tasks.append(Task(list(ids_answered), answers))

    def run(self, work: Callable[[Connection], Step]) -> Step:
        """Run one transaction, repeated while the database is the one that fails, and send what it asks for."""
        done = self._transact(work, self._waits)
        if done.sends:
            self.sender.send(done.sends)
        return done

    def close(self) -> None:
        """Wait for the calls in flight and end the threads."""
        self._calls.shutdown()

    def _attempt(self, task: Task, step: StepFunction, fail: FailFunction) -> list[Step]:
        try:
            waits = self._answer_waits if task.answers else self._waits
            return [self._transact(lambda connection: step(connection, task.ids, task.answers), waits)]
        except Exception as error:  # noqa: BLE001 (whatever a step raises is isolated, counted and logged here)
            if is_transient(error):
                log.warning("batch.deferred", checkout_ids=_names(task.ids), error=str(error))
                return []
            if len(task.ids) > 1:
                log.warning("batch.isolated", checkout_ids=_names(task.ids), error=repr(error))
                return [done for single in task.alone() for done in self._attempt(single, step, fail)]
            return self._fail(task.ids[0], error, fail)

    def _fail(self, checkout_id: UUID, error: Exception, fail: FailFunction) -> list[Step]:
        log.error("checkout.raised", checkout_id=str(checkout_id), error=repr(error), exc_info=error)
        try:
            return [self._transact(lambda connection: fail(connection, checkout_id, error), self._waits)]
        except Exception as again:  # the sweep comes back to it
            log.exception("checkout.failure_not_recorded", checkout_id=str(checkout_id), error=repr(again))
            return []

    def _transact(self, work: Callable[[Connection], Step], waits: Sequence[float]) -> Step:
        for pause in (*waits, None):
            began = time.monotonic()
            try:
                with transaction(self.database) as connection:
                    step = work(connection)
                    step.began = began
                    return step
            except Exception as error:
                if pause is None or not is_transient(error):
                    raise
                log.info("transaction.repeated", error=str(error))
                time.sleep(pause * (0.5 + random.random()))  # noqa: S311 (spreads repeats, guards nothing)
        raise AssertionError("the last pause is None")

    def _submit(self, planned: Planned, began: float) -> Future[Answered]:
        assert_no_transaction()
        return self._calls.submit(lambda: Answered(planned, self._call(planned, began)))

    def _call(self, planned: Planned, began: float) -> Answer | None:
        """Make the call, or None when its claim could run out under it: after a queue of slow ones, or a long pause."""
        names = {"checkout_id": str(planned.call.checkout_id), "verb": planned.verb}
        if time.monotonic() - began > self._patience_seconds:
            log.warning("gateway.not_called", **names)
            return None
        try:
            answer = call_gateway(self.gateway, planned)
        except Exception as error:
            log.exception("gateway.raised", **names)
            return Unknown(repr(error)[:500])
        if isinstance(answer, Misconfigured):
            log.error("gateway.misconfigured", error=answer.error, **names)
        return answer


def call_gateway(gateway: Gateway, planned: Planned) -> Answer:
    """Make one planned call."""
    match planned.verb:
        case Verb.OPEN:
            return gateway.open(planned.call)
        case Verb.AUTHORIZE:
            return gateway.authorize(planned.call)
        case Verb.CAPTURE:
            return gateway.capture(planned.call)
        case Verb.CANCEL:
            return gateway.cancel(planned.call)
        case Verb.REFUND:
            return gateway.refund(planned.call)
        case Verb.RETRIEVE:
            return gateway.retrieve(planned.call)
        case _:
            assert_never(planned.verb)


def _names(ids: Sequence[UUID]) -> list[str]:
    return [str(id_) for id_ in ids]


def _gather(in_flight: set[Future[Answered]]) -> tuple[list[Answered], set[Future[Answered]]]:
    """Wait for at least one answer, and a moment for its neighbours."""
    done, left = wait(in_flight, timeout=GATHER_SECONDS)
    if not done:
        wait(in_flight, return_when=FIRST_COMPLETED)
        done, left = wait(in_flight, timeout=GATHER_SECONDS)
    return [each.result() for each in done], left
