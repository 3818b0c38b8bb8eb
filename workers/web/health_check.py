"""The health check: at most one at a time and one a second, for all callers."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, Generic, TypeVar

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from pipeline.database import is_transient, reading
from pipeline.database.migrations import read_head
from pipeline.gateways import describe_choice
from pipeline.operations.health import Check, Health, HealthReport, check_database, lose_database
from pipeline.operations.replication import explain_no_writes
from workers.web.context import WebContext

T = TypeVar("T")

log = structlog.get_logger()

#: Both servers answer within this time, or are reported as away: load balancers allow two seconds or more.
BOUND_SECONDS: Final = 2.0
#: One report serves all callers for this long.
SHARED_SECONDS: Final = 1.0

DATABASE_AWAY: Final = Check(Health.UNHEALTHY, "PostgreSQL does not answer: nothing can be bought.")
SCHEMA_AWAY: Final = Check(Health.UNHEALTHY, "The database has no schema of this engine: run `alembic upgrade head`.")
BROKER_AWAY: Final = Check(
    Health.DEGRADED, "Redis does not answer: checkouts are accepted, and continue when it is back."
)
BROKER_HERE: Final = Check(Health.HEALTHY, "Redis answers.")


class Probe(Generic[T]):
    """One check on a thread of its own. While it hangs, callers wait for the same one, and no second one begins.

    It does not use the context's threads: a frozen server would block one of them with each check, until all are.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        """Take the check."""
        self._work = work
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._running: asyncio.Future[T] | None = None

    async def result(self) -> T:
        """Return the result of the check, or raise its error; TimeoutError when it takes longer than the bound."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().run_in_executor(self._threads, self._work)
            self._running.add_done_callback(_retrieve_exception)
        return await asyncio.wait_for(asyncio.shield(self._running), BOUND_SECONDS)

    def close(self) -> None:
        """End the thread when it is free."""
        self._threads.shutdown(wait=False)


class HealthChecker:
    """The last health check, and the next. For one event loop."""

    def __init__(self, context: WebContext) -> None:
        """Check with this context's connections: if they are all in use, that is a result too."""
        self._context = context
        self._database = Probe(self._check_database)
        self._broker = Probe(context.components.broker.client.ping)
        self._lock = asyncio.Lock()
        self._last: HealthReport | None = None
        self._until = 0.0

    async def report(self) -> HealthReport:
        """Return a report that is at most a second old, within two seconds."""
        async with self._lock:
            if self._last is None or time.monotonic() >= self._until:
                (checks, at), broker = await asyncio.gather(self._probe_database(), self._probe_broker())
                self._last = HealthReport({**checks, "broker": broker, "gateway": self._gateway}, at)
                self._until = time.monotonic() + SHARED_SECONDS
            return self._last

    @cached_property
    def _gateway(self) -> Check:
        return Check(Health.HEALTHY, f"Payments go to {describe_choice(self._context.settings)}.")

    @cached_property
    def _head(self) -> str:
        # From files: read once, and on a thread.
        return read_head()

    def close(self) -> None:
        """Stop checking."""
        self._database.close()
        self._broker.close()

    def _check_database(self) -> tuple[dict[str, Check], datetime]:
        with reading(self._context.components.database) as connection:
            return check_database(connection, self._context.settings, self._head)

    async def _probe_database(self) -> tuple[dict[str, Check], datetime]:
        try:
            return await self._database.result()
        except (SQLAlchemyError, TimeoutError) as error:
            # Its text may name hosts and users: it is logged, because the response is public.
            log.warning("health.database", error=repr(error))
            return lose_database(_judge_loss(error)), datetime.now(UTC)

    async def _probe_broker(self) -> Check:
        try:
            await self._broker.result()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("health.broker", error=repr(error))
            return BROKER_AWAY
        return BROKER_HERE


def _judge_loss(error: SQLAlchemyError | TimeoutError) -> Check:
    if (sentence := explain_no_writes(error)) is not None:
        return Check(Health.UNHEALTHY, sentence)
    return DATABASE_AWAY if isinstance(error, TimeoutError) or is_transient(error) else SCHEMA_AWAY


def _retrieve_exception(running: asyncio.Future[T]) -> None:
    # No caller may be left to receive the exception: asyncio would log it as never retrieved.
    if not running.cancelled():
        running.exception()
