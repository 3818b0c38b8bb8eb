"""Runs steps over batches: short transactions, gateway calls between them, a failing checkout isolated from its batch.

A step is one transaction over some checkouts. It may ask for gateway calls, for messages to be sent, and for some of
its checkouts to be stepped again. The executor commits, sends, calls with no transaction open, and hands the answers to
the next step as they arrive, so that one slow call never holds its batch. Nor does it hold the thread: after a moment
the calls that are still in flight are left to another one, and the queue is served. Large baskets
are processed by one thread at a time, and after each group of them the rest waits behind the queue.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection

from pipeline.database import TransactionRunner, is_transient
from pipeline.gateways import Gateway
from pipeline.messaging import OutgoingMessage, Publisher
from pipeline.messaging.ports import Backlog
from pipeline.payments import CallResult, PlannedCall
from pipeline.payments.gateway_calls import Calls, gather
from pipeline.saga.loads import Load, Loads
from pipeline.settings import Settings

log = structlog.get_logger()

#: How often the longest pause before a repeat is made once more for the answers of a gateway. Without them everybody
#: waits until their calls' leases have run out, 13 s at Stripe; 7.6 s of repeats are over within 10 s of a database's
#: return.
ANSWER_REPEATS: Final = 2

#: A batch waits this long for its calls, then leaves those that are still out behind. Longer than a healthy bank takes
#: for most; with one answer in forty hanging for 5 s, others took 9.4 s (95th percentile) while batches waited for all.
LINGER_SECONDS: Final = 0.25


@dataclass(slots=True)
class Step:
    """What a step leaves to be done once it has committed: `again` holds groups to be stepped once more.

    `heavy` holds such groups as come after all others, one at a time, and may give way between them. `began` is when
    its transaction did, by this process's monotonic clock; the executor writes it.
    """

    calls: list[PlannedCall] = field(default_factory=list)
    messages: list[OutgoingMessage] = field(default_factory=list)
    again: list[list[UUID]] = field(default_factory=list)
    heavy: list[list[UUID]] = field(default_factory=list)
    began: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """Checkouts to step, with the answers that have come in for them."""

    ids: Sequence[UUID]
    answers: Sequence[CallResult] = ()

    def alone(self) -> list["Task"]:
        """Return one task for each checkout."""
        return [
            Task([id_], [each for each in self.answers if each.planned.call.checkout_id == id_]) for id_ in self.ids
        ]


StepFunction = Callable[[Connection, Sequence[UUID], Sequence[CallResult]], Step]
FailFunction = Callable[[Connection, UUID, Exception], Step]


@dataclass(frozen=True, slots=True)
class Lane:
    """The queue that a batch came from, how a heavy group of it is stepped whole, or sent back to the queue's end."""

    queue: str
    step_whole: StepFunction
    send_back: Callable[[Sequence[UUID], Connection], Step]


@dataclass(frozen=True, slots=True)
class Way:
    """How checkouts are stepped; without a lane, heavy groups are stepped as all others."""

    step: StepFunction
    fail: FailFunction
    lane: Lane | None = None


class Executor:
    """Shared by all that step checkouts. Thread-safe; one a process."""

    def __init__(
        self,
        transactions: TransactionRunner,
        publisher: Publisher,
        gateway: Gateway,
        settings: Settings,
        *,
        linger_seconds: float = math.inf,
        backlog: Backlog | None = None,
    ) -> None:
        """Take what the steps need. The gateway's calls in flight are bounded for the whole process.

        After `linger_seconds` a drive that may leaves its calls behind: as many as half of those that can be in flight,
        so that there is room for those of others, and no more are leased than can be made. `backlog` tells whether
        messages wait, behind which heavy groups are put; without it they never are.
        """
        self._transactions = transactions
        self._publisher = publisher
        self._gateway = gateway
        patience_seconds = settings.gateway_lease_seconds - gateway.call_seconds
        self._calls = Calls(settings.gateway_concurrency, patience_seconds)
        self._linger_seconds = linger_seconds
        self._backlog = backlog
        self._loads: Loads[Way] = Loads()
        # Half of the redelivery time: what waits here for longer returns to the queue.
        self._carry_seconds = settings.redeliver_after_seconds / 2
        self._most_left = max(1, settings.gateway_concurrency // 2)
        self._keepers = ThreadPoolExecutor(self._most_left, thread_name_prefix="keeper")
        self._left = 0
        self._left_changed = threading.Condition()

    def drive(
        self,
        ids: Sequence[UUID],
        step: StepFunction,
        fail: FailFunction,
        *,
        may_leave: bool = False,
        lane: Lane | None = None,
    ) -> None:
        """Step these checkouts until nothing is left to do now. Never raises for what a checkout may cause.

        With `may_leave` it may return while calls are still out, whose answers are then stepped on by another thread.
        With a `lane` its heavy groups may be left to another thread that carries such, or be sent back.
        """
        leave_at = time.monotonic() + self._linger_seconds if may_leave else math.inf
        self._work_off(deque([Task(list(dict.fromkeys(ids)))]), set(), Way(step, fail, lane), leave_at)

    def finish(self) -> None:
        """Return once nothing is left behind: every answer has come and was written down."""
        with self._left_changed:
            self._left_changed.wait_for(lambda: self._left == 0)

    def _work_off(self, tasks: deque[Task], in_flight: set[Future[CallResult]], way: Way, leave_at: float) -> None:
        heavy: list[Load[Way]] = []
        while tasks or in_flight:
            while tasks:
                for done in self._attempt(tasks.popleft(), way):
                    self._publish(done)
                    tasks.extend(Task(group) for group in done.again)
                    if way.lane is None:
                        tasks.extend(Task(group) for group in done.heavy)
                    else:
                        heavy += [Load(group, way) for group in done.heavy]
                    in_flight.update(self._calls.submit(self._gateway, planned, done.began) for planned in done.calls)
            if in_flight:
                left_seconds = leave_at - time.monotonic()
                if left_seconds <= 0 and self._leave(in_flight, way):
                    break
                answers, in_flight = gather(in_flight, left_seconds if 0 < left_seconds < math.inf else None)
                if answers:
                    ids_answered = dict.fromkeys(each.planned.call.checkout_id for each in answers)
                    tasks.append(Task(list(ids_answered), answers))
        if heavy:
            self._loads.carry(heavy, self._carry, self._give_way)

    def _carry(self, load: Load[Way]) -> None:
        """Step one heavy group until nothing is left to do now; it goes on whole."""
        leave_at = time.monotonic() + self._linger_seconds
        way = load.way if load.way.lane is None else replace(load.way, step=load.way.lane.step_whole)
        self._work_off(deque([Task(load.ids)]), set(), way, leave_at)

    def _give_way(self) -> None:
        """Send heavy groups back to the end of their queues when messages wait there, or they have waited long."""
        waiting = self._loads.waiting()
        queues = {load.way.lane.queue for load in waiting if load.way.lane is not None}
        is_recent = time.monotonic() - waiting[0].taken_at < self._carry_seconds
        if is_recent and (self._backlog is None or not self._backlog.heads(sorted(queues))):
            return
        groups: dict[str, tuple[Lane, list[UUID]]] = {}
        for load in self._loads.clear():
            if load.way.lane is not None:
                groups.setdefault(load.way.lane.queue, (load.way.lane, []))[1].extend(load.ids)
        for lane, ids in groups.values():
            try:
                self._publish(self._step(partial(lane.send_back, ids)))
            except Exception as error:  # noqa: BLE001 (the sweep comes back to them)
                log.warning("batch.deferred", checkout_ids=_names(ids), error=repr(error))
            else:
                log.info("batch.gave_way", queue=lane.queue, checkouts=len(ids))

    def _leave(self, in_flight: set[Future[CallResult]], way: Way) -> bool:
        """Have another thread wait for these calls; False when too many have been left already."""
        with self._left_changed:
            if self._left + len(in_flight) > self._most_left:
                return False
            self._left += len(in_flight)
        self._keepers.submit(self._keep, in_flight, way)
        return True

    def _keep(self, in_flight: set[Future[CallResult]], way: Way) -> None:
        count = len(in_flight)
        try:
            self._work_off(deque(), in_flight, way, math.inf)
        except Exception as error:  # it is reported nowhere else; the sweep redelivers them when their leases expire
            log.exception("calls.not_recorded", count=count, error=repr(error))
        finally:
            with self._left_changed:
                self._left -= count
                self._left_changed.notify_all()

    def close(self) -> None:
        """Wait for the calls in flight, and for what was left behind, and end the threads."""
        self._keepers.shutdown()
        self._calls.close()

    def _attempt(self, task: Task, way: Way) -> list[Step]:
        try:
            repeats = ANSWER_REPEATS if task.answers else 0
            return [self._step(lambda connection: way.step(connection, task.ids, task.answers), more_repeats=repeats)]
        except Exception as error:  # noqa: BLE001 (whatever a step raises is isolated, counted and logged here)
            if is_transient(error):
                log.warning("batch.deferred", checkout_ids=_names(task.ids), error=str(error))
                return []
            if len(task.ids) > 1:
                log.warning("batch.isolated", checkout_ids=_names(task.ids), error=repr(error))
                return [done for single in task.alone() for done in self._attempt(single, way)]
            return self._fail(task.ids[0], error, way.fail)

    def _fail(self, checkout_id: UUID, error: Exception, fail: FailFunction) -> list[Step]:
        log.error("checkout.raised", checkout_id=str(checkout_id), error=repr(error), exc_info=error)
        try:
            return [self._step(lambda connection: fail(connection, checkout_id, error))]
        except Exception as again:  # the sweep comes back to it
            log.exception("checkout.failure_not_recorded", checkout_id=str(checkout_id), error=repr(again))
            return []

    def _publish(self, done: Step) -> None:
        if done.messages:
            self._publisher.send(done.messages)

    def _step(self, work: Callable[[Connection], Step], *, more_repeats: int = 0) -> Step:
        def begin(connection: Connection) -> Step:
            began = time.monotonic()
            step = work(connection)
            step.began = began
            return step

        return self._transactions.run(begin, more_repeats=more_repeats)


def _names(ids: Sequence[UUID]) -> list[str]:
    return [str(id_) for id_ in ids]
