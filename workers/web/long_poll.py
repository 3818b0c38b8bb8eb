"""Requests that wait for their checkout to come to rest, woken by PostgreSQL and not by asking again and again.

One connection of its own LISTENs for all of them. It is a hint like any other message: a long poll reads the row
before and after, and a connection that was lost wakes all of them once it is back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar
from uuid import UUID

import psycopg
import structlog
from sqlalchemy import make_url

from pipeline.checkouts.events import CHANNEL

log = structlog.get_logger()

T = TypeVar("T")

#: A connection is asked for a sign of life this often, and has this long for it; then another one is made.
BEAT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 2.0
#: Pause before the next connection. Meanwhile no long poll is woken; each is answered when its time is up.
RETRY_SECONDS: Final = 0.5


class LongPolls:
    """The long polls by checkout. Lives on one event loop."""

    def __init__(self, url: str) -> None:
        """Listen at this database, directly: LISTEN does not work through a transaction pooler."""
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._waiters: dict[UUID, set[asyncio.Event]] = {}
        self._closing = False
        self.listening = asyncio.Event()

    async def wait(
        self, checkout_id: UUID, read: Callable[[], Awaitable[T]], is_rest: Callable[[T], bool], seconds: float
    ) -> T:
        """Return what `read` gives once `is_rest` is true of it, or when `seconds` have passed or the process ends."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        woken = asyncio.Event()
        self._waiters.setdefault(checkout_id, set()).add(woken)
        try:
            while True:
                # Cleared before the look: what happens after it wakes us again.
                woken.clear()
                found = await read()
                if is_rest(found) or self._closing or loop.time() >= ends_at:
                    return found
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), ends_at - loop.time())
        finally:
            self._waiters[checkout_id].discard(woken)
            if not self._waiters[checkout_id]:
                del self._waiters[checkout_id]

    async def run(self) -> None:
        """Listen for as long as the process lives, over as many connections as that takes."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as error:
                log.warning("long_poll.disconnected", error=type(error).__name__)
            finally:
                self.listening.clear()
            await asyncio.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """Answer all long polls with the current status: the process is about to end."""
        self._closing = True
        self._wake_all()

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=3, application_name="checkout.waiting"
        ) as connection:
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            self.listening.set()
            # Whatever was notified without a listener is in the rows by now.
            self._wake_all()
            while True:
                async for notice in connection.notifies(timeout=BEAT_SECONDS):
                    self._hear(notice.payload)
                await asyncio.wait_for(connection.execute("SELECT 1"), ANSWER_SECONDS)

    def _hear(self, payload: str) -> None:
        # Every session of this database may NOTIFY: what names no checkout must not end the listening for good.
        try:
            named = [UUID(each) for each in payload.split(",")]
        except ValueError:
            log.warning("long_poll.unreadable", characters=len(payload))
            return
        for checkout_id in named:
            self._wake(checkout_id)

    def _wake(self, checkout_id: UUID) -> None:
        for woken in self._waiters.get(checkout_id, ()):
            woken.set()

    def _wake_all(self) -> None:
        for checkout_id in self._waiters:
            self._wake(checkout_id)
