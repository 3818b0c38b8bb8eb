"""Runs steps over batches: short transactions, gateway calls between them, a failing member isolated from its batch.

A step is one transaction over some checkouts, or over what else has calls to make. It may return gateway calls to
make, messages to send, and ids to step again. The executor commits, sends the messages, makes the calls with no
transaction open, and passes the answers to the next step as they arrive, so that one slow call never delays its batch.
Nor does it block the thread: after `LINGER_SECONDS` another thread waits for the calls in flight, and this one serves
the queue. Large baskets are processed by one thread at a time, and after each group of them the rest waits behind the
queue.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Generic
from uuid import UUID

import structlog
from sqlalchemy import Connection

from pipeline.database import TransactionRunner, is_transient
from pipeline.gateways import Gateway
from pipeline.messaging import OutgoingMessage, Publisher
from pipeline.messaging.ports import Backlog
from pipeline.payments.gateway_calls import Calls, Planned, Result, gather
from pipeline.saga.loads import Load, Loads
from pipeline.settings import Settings

log = structlog.get_logger()

#: How many more repeats, each after the longest pause, a transaction gets that stores a gateway's answers. When answers
#: are lost, their checkouts wait until the leases have expired, 13 s at Stripe; 7.6 s of repeats end within 10 s of the
#: database's return.
ANSWER_REPEATS: Final = 8

#: A batch waits this long for its calls, then leaves those still in flight to another thread. Longer than a healthy
#: provider takes for most calls. When batches waited for all, and one answer in forty hung for 5 s, p95 was 9.4 s.
LINGER_SECONDS: Final = 0.25


@dataclass(slots=True)
class Step(Generic[Result]):
    """What is left to do once a step has committed: `again` holds groups to be stepped once more.

    `heavy` holds groups that come after all others, one at a time, and may yield to the queue in between. `began` is
    when the transaction began, by this process's monotonic clock; the executor sets it.
    """

    calls: Sequence[Planned[Result]] = ()
    messages: list[OutgoingMessage] = field(default_factory=list)
    again: list[list[UUID]] = field(default_factory=list)
    heavy: list[list[UUID]] = field(default_factory=list)
    began: float = 0.0


@dataclass(frozen=True, slots=True)
class Task(Generic[Result]):
    """What to step, with the answers that have arrived for them."""

    ids: Sequence[UUID]
    answers: Sequence[Result] = ()

    def split(self) -> list["Task[Result]"]:
        """Return one task for each id."""
        return [Task([id_], [each for each in self.answers if each.subject_id == id_]) for id_ in self.ids]


StepFunction = Callable[[Connection, Sequence[UUID], Sequence[Result]], Step[Result]]
FailFunction = Callable[[Connection, UUID, Exception], Step[Result]]


@dataclass(frozen=True, slots=True)
class Lane(Generic[Result]):
    """The queue of a batch, how a heavy group of it is stepped whole, and how it is sent back to the queue's end."""

    queue: str
    step_whole: StepFunction[Result]
    send_back: Callable[[Sequence[UUID], Connection], Step[Result]]


@dataclass(frozen=True, slots=True)
class Way(Generic[Result]):
    """How a batch is stepped; without a lane, heavy groups are stepped as all others."""

    step: StepFunction[Result]
    fail: FailFunction[Result]
    lane: Lane[Result] | None = None


@dataclass(frozen=True, slots=True)
class HeavyWay:
    """How a heavy group of a queue is worked on, and how several are sent back together: a way of any results."""

    queue: str
    work: Callable[[Sequence[UUID]], None]
    send_back: Callable[[Sequence[UUID]], None]


class Executor:
    """Executes the steps of a process. Thread-safe; one per process."""

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

        After `linger_seconds` a run with `may_leave` leaves its calls to another thread: at most half of those that can
        be in flight, so that there is room for other calls, and no more are leased than can be made. `backlog` returns
        whether messages wait: heavy groups go behind them. Without it they are never sent back.
        """
        self._transactions = transactions
        self._publisher = publisher
        self._gateway = gateway
        patience_seconds = settings.gateway_lease_seconds - gateway.call_seconds
        self._calls = Calls(settings.gateway_concurrency, patience_seconds)
        self._linger_seconds = linger_seconds
        self._backlog = backlog
        self._loads: Loads[HeavyWay] = Loads()
        # Half of the redelivery time: what waits here for longer returns to the queue.
        self._max_wait_seconds = settings.redeliver_after_seconds / 2
        self._max_left = max(1, settings.gateway_concurrency // 2)
        self._waiters = ThreadPoolExecutor(self._max_left, thread_name_prefix="waiter")
        self._left = 0
        self._left_changed = threading.Condition()

    def run(
        self,
        ids: Sequence[UUID],
        step: StepFunction[Result],
        fail: FailFunction[Result],
        *,
        may_leave: bool = False,
        lane: Lane[Result] | None = None,
    ) -> None:
        """Step these ids until nothing is left to do now. Never raises for what one of them may cause.

        With `may_leave` it may return while calls are in flight; another thread steps on with their answers. With a
        `lane`, heavy groups may be left to the thread that works on such groups, or be sent back.
        """
        leave_at = time.monotonic() + self._linger_seconds if may_leave else math.inf
        self._work_off(deque([Task(list(dict.fromkeys(ids)))]), set(), Way(step, fail, lane), leave_at)

    def finish(self) -> None:
        """Return once every call that was left to another thread is answered and stored."""
        with self._left_changed:
            self._left_changed.wait_for(lambda: self._left == 0)

    def _work_off(
        self, tasks: deque[Task[Result]], in_flight: set[Future[Result]], way: Way[Result], leave_at: float
    ) -> None:
        heavy: list[Load[HeavyWay]] = []
        while tasks or in_flight:
            while tasks:
                for done in self._attempt(tasks.popleft(), way):
                    self._publish(done)
                    tasks.extend(Task(group) for group in done.again)
                    if way.lane is None:
                        tasks.extend(Task(group) for group in done.heavy)
                    else:
                        heavy += self._make_loads(done.heavy, way, way.lane)
                    in_flight.update(self._calls.submit(self._gateway, planned, done.began) for planned in done.calls)
            if in_flight:
                left_seconds = leave_at - time.monotonic()
                if left_seconds <= 0 and self._leave(in_flight, way):
                    break
                answers, in_flight = gather(in_flight, left_seconds if 0 < left_seconds < math.inf else None)
                if answers:
                    ids_answered = dict.fromkeys(each.subject_id for each in answers)
                    tasks.append(Task(list(ids_answered), answers))
        if heavy:
            self._loads.work_on(heavy, lambda load: load.way.work(load.ids), self._yield_to_queue)

    def _make_loads(
        self, groups: Sequence[Sequence[UUID]], way: Way[Result], lane: Lane[Result]
    ) -> list[Load[HeavyWay]]:
        """Return the heavy groups of a step, each to be stepped undivided until nothing is left to do now."""

        def step_whole(ids: Sequence[UUID]) -> None:
            leave_at = time.monotonic() + self._linger_seconds
            self._work_off(deque([Task(ids)]), set(), replace(way, step=lane.step_whole), leave_at)

        def send_back(ids: Sequence[UUID]) -> None:
            self._publish(self._step(partial(lane.send_back, ids)))

        return [Load(group, HeavyWay(lane.queue, step_whole, send_back)) for group in groups]

    def _yield_to_queue(self) -> None:
        """Send heavy groups back to the end of their queues when messages wait there, or they have waited long."""
        waiting = self._loads.waiting()
        queues = {load.way.queue for load in waiting}
        is_recent = time.monotonic() - waiting[0].added_at < self._max_wait_seconds
        if is_recent and (self._backlog is None or not self._backlog.heads(sorted(queues))):
            return
        groups: dict[str, tuple[HeavyWay, list[UUID]]] = {}
        for load in self._loads.clear():
            groups.setdefault(load.way.queue, (load.way, []))[1].extend(load.ids)
        for way, ids in groups.values():
            try:
                way.send_back(ids)
            except Exception as error:  # noqa: BLE001 (the sweep redelivers them)
                log.warning("batch.deferred", checkout_ids=_names(ids), error=repr(error))
            else:
                log.info("batch.gave_way", queue=way.queue, checkouts=len(ids))

    def _leave(self, in_flight: set[Future[Result]], way: Way[Result]) -> bool:
        """Have another thread wait for these calls; return False when too many are left already."""
        with self._left_changed:
            if self._left + len(in_flight) > self._max_left:
                return False
            self._left += len(in_flight)
        self._waiters.submit(self._wait_for, in_flight, way)
        return True

    def _wait_for(self, in_flight: set[Future[Result]], way: Way[Result]) -> None:
        count = len(in_flight)
        try:
            self._work_off(deque(), in_flight, way, math.inf)
        except Exception as error:  # logged only here; the sweep redelivers the checkouts when their leases expire
            log.exception("calls.not_recorded", count=count, error=repr(error))
        finally:
            with self._left_changed:
                self._left -= count
                self._left_changed.notify_all()

    def close(self) -> None:
        """Wait for all calls in flight, then end the threads."""
        self._waiters.shutdown()
        self._calls.close()

    def _attempt(self, task: Task[Result], way: Way[Result]) -> list[Step[Result]]:
        try:
            repeats = ANSWER_REPEATS if task.answers else 0
            return [self._step(lambda connection: way.step(connection, task.ids, task.answers), more_repeats=repeats)]
        except Exception as error:  # noqa: BLE001 (whatever a step raises is isolated, counted and logged here)
            if is_transient(error):
                log.warning("batch.deferred", checkout_ids=_names(task.ids), error=str(error))
                return []
            if len(task.ids) > 1:
                log.warning("batch.isolated", checkout_ids=_names(task.ids), error=repr(error))
                return [done for single in task.split() for done in self._attempt(single, way)]
            return self._fail(task.ids[0], error, way.fail)

    def _fail(self, checkout_id: UUID, error: Exception, fail: FailFunction[Result]) -> list[Step[Result]]:
        log.error("checkout.raised", checkout_id=str(checkout_id), error=repr(error), exc_info=error)
        try:
            return [self._step(lambda connection: fail(connection, checkout_id, error))]
        except Exception as again:  # the sweep redelivers it
            log.exception("checkout.failure_not_recorded", checkout_id=str(checkout_id), error=repr(again))
            return []

    def _publish(self, done: Step[Result]) -> None:
        if done.messages:
            self._publisher.send(done.messages)

    def _step(self, work: Callable[[Connection], Step[Result]], *, more_repeats: int = 0) -> Step[Result]:
        def begin(connection: Connection) -> Step[Result]:
            began = time.monotonic()
            step = work(connection)
            step.began = began
            return step

        return self._transactions.run(begin, more_repeats=more_repeats)


def _names(ids: Sequence[UUID]) -> list[str]:
    return [str(id_) for id_ in ids]
