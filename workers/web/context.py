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
from pipeline.intake import CheckoutService
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

    @property
    def service(self) -> CheckoutService:
        """The facade of the intake."""
        return self.components.service

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work on a thread: there are as many threads as connections."""
        # In a copy of the request's contextvars, which has the keys of its log lines.
        return await asyncio.get_running_loop().run_in_executor(self.threads, copy_context().run, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run work that only reads, on a thread with a connection."""

        def on_connection() -> T:
            with reading(self.components.database) as connection:
                return work(connection)

        return await self.run(on_connection)


def context_of(request: Request) -> WebContext:
    """Return the context of this request."""
    context = request.app.state.context
    assert isinstance(context, WebContext)  # noqa: S101 (the application is built in one place)
    return context
