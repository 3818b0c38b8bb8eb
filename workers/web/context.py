"""The context that all requests of one process share: components, threads, groups, long polls, and rate limits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from sqlalchemy import Connection

from pipeline.database import reading
from pipeline.database.readers import Reader, Standby
from pipeline.intake import CheckoutService
from pipeline.orders import OrderService
from pipeline.settings import Settings
from workers.bootstrap import Components
from workers.web.groups import Groups, Load
from workers.web.long_poll import LongPolls
from workers.web.protection.known_credentials import KnownCredentials
from workers.web.protection.rate_limits import RateLimits

T = TypeVar("T")


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
