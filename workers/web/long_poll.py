"""Long polls: requests that wait until their checkout is in a stable state, and are woken through Redis.

One connection of its own subscribes for all of them. A wake-up is a hint like any other message: a long poll reads the
row before and after it, and now and then without one; and a new connection, after one that was lost, wakes all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

log = structlog.get_logger()

T = TypeVar("T")

#: The name of the listening connection at the server.
CLIENT_NAME: Final = "checkout.waiting"
#: A connection is tested this often, and must answer within the time-out; otherwise another one is opened.
BEAT_SECONDS: Final = 5.0
BEAT_TIMEOUT_SECONDS: Final = 2.0
#: A long poll without a wake-up reads its row this often: the process that should have woken it may have been killed
#: between its commit and the wake-up. Most checkouts are finished long before the first time.
LOOK_SECONDS: Final = 2.0
#: Checkouts of the newest wake-ups that are kept: those of some seconds at a thousand a second.
MOST_RECENT: Final = 10_000
#: Pause before the next connection. Meanwhile no long poll is woken; each ends at its own time.
RETRY_SECONDS: Final = 0.5


class LongPolls:
    """The long polls by checkout. For one event loop."""

    def __init__(self, open_client: Callable[[], AbstractAsyncContextManager[Redis]], channel: str) -> None:
        """Subscribe to this channel, with a client that is opened whenever it listens anew."""
        self._open_client = open_client
        self._channel = channel
        self._waiters: dict[UUID, set[asyncio.Event]] = {}
        self._recent: dict[UUID, None] = {}
        self._connections = 0
        self._closing = False
        self.listening = asyncio.Event()

    def mark(self) -> int | None:
        """Return a mark of this moment for `wait`, None while nothing listens."""
        return self._connections if self.listening.is_set() else None

    async def wait(
        self,
        checkout_id: UUID,
        read: Callable[[], Awaitable[T]],
        is_stable: Callable[[T], bool],
        seconds: float,
        *,
        since: int | None = None,
    ) -> T:
        """Return the result of `read` once it `is_stable`, or after `seconds`, or when the process ends.

        `since` is the `mark` of a moment before the checkout was started: as long as the same connection listens, a
        checkout without a wake-up is in progress, and is not read for `LOOK_SECONDS`.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        woken = asyncio.Event()
        self._waiters.setdefault(checkout_id, set()).add(woken)
        try:
            if since is not None and since == self.mark() and checkout_id not in self._recent and not self._closing:
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), min(seconds, LOOK_SECONDS))
            while True:
                # Cleared before the row is read: a later change wakes this long poll again.
                woken.clear()
                found = await read()
                if is_stable(found) or self._closing or loop.time() >= ends_at:
                    return found
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), min(ends_at - loop.time(), LOOK_SECONDS))
        finally:
            self._waiters[checkout_id].discard(woken)
            if not self._waiters[checkout_id]:
                del self._waiters[checkout_id]

    async def run(self) -> None:
        """Listen until the process ends, with a new connection whenever one is lost."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("long_poll.disconnected", error=type(error).__name__)
            finally:
                self.listening.clear()
            await asyncio.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """End all long polls with the current status, because the process ends."""
        self._closing = True
        self._wake_all()

    async def _listen(self) -> None:
        async with self._open_client() as client, client.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            while True:
                message = await self._next_message(subscription)
                if message["type"] == "subscribe":  # also after a connection that the client has replaced by itself
                    self._connections += 1
                    self.listening.set()
                    # The rows have every change of the time without a listener.
                    self._wake_all()
                elif message["type"] == "message":
                    self._receive(message["data"])

    async def _next_message(self, subscription: PubSub) -> dict[str, Any]:
        """Return the next message. TimeoutError when the connection answers nothing, not even a ping."""
        message = await subscription.get_message(timeout=BEAT_SECONDS)
        if message is None:
            await subscription.ping()
            message = await subscription.get_message(timeout=BEAT_TIMEOUT_SECONDS)
        if message is None:
            raise TimeoutError
        found: dict[str, Any] = message
        return found

    def _receive(self, payload: bytes) -> None:
        # Every client of this server may publish: a payload without a checkout must not end the listening.
        try:
            ids = [UUID(each) for each in payload.decode().split(",")]
        except ValueError:
            log.warning("long_poll.unreadable", bytes=len(payload))
            return
        for checkout_id in ids:
            self._recent.pop(checkout_id, None)
            self._recent[checkout_id] = None
            self._wake(checkout_id)
        while len(self._recent) > MOST_RECENT:
            del self._recent[next(iter(self._recent))]

    def _wake(self, checkout_id: UUID) -> None:
        for woken in self._waiters.get(checkout_id, ()):
            woken.set()

    def _wake_all(self) -> None:
        for checkout_id in self._waiters:
            self._wake(checkout_id)
