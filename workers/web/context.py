"""The context that all requests of one process share: components, threads, groups, long polls, and rate limits."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final, TypeVar

from fastapi import Request
from pydantic import SecretStr
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from pipeline.catalog.batches import PAUSE_SHARE, CatalogService, WrittenBatch
from pipeline.catalog.batches.forms import AnyBatch
from pipeline.database import TransactionRunner, connect_engine, reading
from pipeline.database.readers import Reader, Standby
from pipeline.errors import Code, Unavailable
from pipeline.intake import CheckoutService
from pipeline.orders import OrderService
from pipeline.settings import Settings
from workers.bootstrap import Components
from workers.web.groups import Groups, Load
from workers.web.long_poll import LongPolls
from workers.web.protection.known_credentials import KnownCredentials
from workers.web.protection.rate_limits import RateLimits

T = TypeVar("T")

#: SQLSTATE of a user that may not do this.
_FORBIDDEN: Final = "42501"


class CatalogDesk:
    """Takes batches of the catalog, one at a time, on a connection and a thread of its own: no buyer waits for one.

    After each it pauses, so that at most a quarter of a processor is taken from the buyers, however many batches wait.
    """

    def __init__(self, settings: Settings, *, waits: Sequence[float]) -> None:
        """Connect at the first batch, to CHECKOUT_CATALOG_URL or DATABASE_URL."""
        url = settings.catalog_url or SecretStr("")
        own = settings.model_copy(update={"database_url": url}) if url.get_secret_value() else settings
        self._engine = connect_engine(own, application_name="web.catalog", pool_size=1)
        self._service = CatalogService(TransactionRunner(self._engine, waits=waits))
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="catalog")
        self._turn = asyncio.Semaphore()

    async def write(self, batch: AnyBatch, *, owner: str, actor: str, idempotency_key: str) -> WrittenBatch:
        """Write a batch, as `CatalogService.write` does. Unavailable (CATALOG_READ_ONLY) if this user may not."""

        def work() -> WrittenBatch:
            return self._service.write(batch, owner=owner, actor=actor, idempotency_key=idempotency_key)

        await self._turn.acquire()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await _run(self._threads, work)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == _FORBIDDEN:
                raise Unavailable(Code.CATALOG_READ_ONLY) from error
            raise
        finally:
            loop.call_later(PAUSE_SHARE * (loop.time() - began), self._turn.release)

    def close(self) -> None:
        """Finish what was begun, and disconnect."""
        self._threads.shutdown()
        self._engine.dispose()


@dataclass(frozen=True, slots=True)
class WebContext:
    """One HTTP process. A request uses a thread only while it works on the database: long polls use none."""

    settings: Settings
    components: Components
    long_polls: LongPolls
    rate_limits: RateLimits
    known_credentials: KnownCredentials
    threads: Executor
    groups: Groups
    load: Load
    catalog: CatalogDesk
    reader: Reader
    reader_threads: Executor

    @property
    def service(self) -> CheckoutService:
        """The facade of the intake."""
        return self.components.service

    @property
    def orders(self) -> OrderService:
        """The facade of what changes orders."""
        return self.components.orders

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work on a thread: there are as many threads as connections."""
        return await _run(self.threads, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run work that only reads, on a thread with a connection."""

        def on_connection() -> T:
            with reading(self.components.database) as connection:
                return work(connection)

        return await self.run(on_connection)

    async def read_for_people(self, work: Callable[[Connection], T]) -> tuple[T, Standby | None]:
        """Run work that reads what need not be fresh; return the standby that it was read from, if it was one.

        Raises Unavailable for a CHECKOUT_READ_URL that cannot be read. Its threads are its own: one that hangs delays
        no purchase.
        """
        return await _run(self.reader_threads, lambda: self.reader.read(work))


async def _run(threads: Executor, work: Callable[[], T]) -> T:
    # In a copy of the request's contextvars, which has the keys of its log lines.
    return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work)


def context_of(request: Request) -> WebContext:
    """Return the context of this request."""
    context = request.app.state.context
    assert isinstance(context, WebContext)  # noqa: S101 (the application is built in one place)
    return context
