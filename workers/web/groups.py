"""Requests that share a transaction: whatever waits while one group is in the database is the next group.

A request alone begins at once. Under load a group begins a small share of a request's usual duration after the one
before it, so that more of them share the price of a transaction. Each request has its own result or its own error.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID

import structlog

from pipeline.database import is_transient, reading
from pipeline.errors import NotFound
from pipeline.intake.idempotency import IdempotentRequest, StoredResponse
from pipeline.intake.result import CommandResult
from pipeline.intake.starting import Start
from pipeline.security import Caller, find_callers
from workers.bootstrap import Components
from workers.broker.pace import Pace
from workers.web.responses.outcomes import HttpOutcome, read_outcomes

log = structlog.get_logger()

T = TypeVar("T")
R = TypeVar("R")

#: Members of a group: as many as a batch of the intake queue may have at most.
MOST_MEMBERS: Final = 256
#: Every request looks its API key up, and a status is read in a millisecond: it must not wait as a purchase may.
CALLERS_PART: Final = 0.1
#: How much the newest duration counts in the usual one.
NEWEST: Final = 0.1


class Load:
    """The requests of this process: how many are open, and how long they usually take. For one event loop."""

    def __init__(self) -> None:
        """Know of none yet."""
        self.open = 0
        self.usual_seconds = 0.0

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count a request, which is open within."""
        self.open += 1
        began = time.monotonic()
        try:
            yield
        finally:
            self.open -= 1
            self.usual_seconds += NEWEST * (time.monotonic() - began - self.usual_seconds)


class Group(Generic[T, R]):
    """One kind of work, done for a group at a time. For one event loop."""

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R | Exception]],
        threads: Executor,
        load: Load,
        share: float,
    ) -> None:
        """Call `run` on a thread; it returns a result or an error for each member, in their order, or raises for all.

        When it raises for several, each is run alone, unless it is the database that fails.
        """
        self._run = run
        self._threads = threads
        self._load = load
        self._pace = Pace(share)
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, member: T) -> R:
        """Return the result of this member, or raise its error."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((member, future))
        if self._worker is None:
            # Without the contextvars of this request: the keys of its log lines are not those of the others.
            self._worker = asyncio.create_task(self._work(), context=Context())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                is_alone = self._load.open <= len(self._waiting)
                if not is_alone and (pause_seconds := self._pace.left_seconds()) > 0:
                    await asyncio.sleep(pause_seconds)
                self._pace.begin([self._load.usual_seconds])
                group, self._waiting = self._waiting[:MOST_MEMBERS], self._waiting[MOST_MEMBERS:]
                await self._serve(group)
        finally:
            self._worker = None

    async def _serve(self, group: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        members = [member for member, _ in group]
        results: Sequence[R | Exception]
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._threads, self._isolate, members)
        except RuntimeError as error:  # the threads have ended with the process
            results = [error] * len(group)
        for (_, future), result in zip(group, results, strict=True):
            if future.done():  # its client has gone
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _isolate(self, members: Sequence[T]) -> Sequence[R | Exception]:
        try:
            return self._run(members)
        except Exception as error:  # noqa: BLE001 (each member raises it to its own caller)
            if len(members) == 1 or is_transient(error):
                return [error] * len(members)
            log.warning("group.isolated", members=len(members), error=repr(error))
            return [each for member in members for each in self._isolate([member])]


@dataclass(frozen=True, slots=True)
class Groups:
    """The work of requests that is done in groups: who calls, starts, outcomes, stored responses."""

    callers: Group[str, Caller | None]
    starts: Group[Start, CommandResult | None]
    outcomes: Group[tuple[UUID, str], HttpOutcome]
    responses: Group[tuple[IdempotentRequest, StoredResponse], None]


def build_groups(components: Components, threads: Executor, load: Load, share: float) -> Groups:
    """Return the groups of one process."""
    service = components.service

    def read_callers(tokens: Sequence[str]) -> list[Caller | None]:
        with reading(components.database) as connection:
            return find_callers(connection, tokens)

    def read(wanted: Sequence[tuple[UUID, str]]) -> list[HttpOutcome | NotFound]:
        with reading(components.database) as connection:
            return read_outcomes(connection, wanted)

    def keep(responses: Sequence[tuple[IdempotentRequest, StoredResponse]]) -> list[None]:
        service.keep_responses(responses)
        return [None] * len(responses)

    return Groups(
        Group(read_callers, threads, load, share * CALLERS_PART),
        Group(service.start_group, threads, load, share),
        Group(read, threads, load, share),
        Group(keep, threads, load, share),
    )
