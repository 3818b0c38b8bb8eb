"""Group commit: many threads send requests, one thread writes all that wait in one transaction."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Final

import structlog

from pipeline.gateways.gateway import Unknown
from pipeline.gateways.sandbox.requests import Reply, Request

#: The largest transaction. Eight processes of 32 callers have no more requests waiting.
MAX_GROUP: Final = 256

#: A group takes milliseconds, a blocked one ends after the lock time-out (5 s): then the process may end.
STOP_SECONDS: Final = 10

log = structlog.get_logger(__name__)

Waiting = tuple[Request, Future[Reply]]


class Writer:
    """Passes all waiting requests to `carry_out`, without waiting for more. Its thread starts at the first request."""

    def __init__(self, carry_out: Callable[[Sequence[Request]], list[Reply]]) -> None:
        """Take the function that answers a group; only one thread at a time calls it."""
        self._carry_out = carry_out
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, request: Request) -> Future[Reply]:
        """Queue a request; the future resolves after the commit, and never to an exception."""
        future: Future[Reply] = Future()
        with self._lock:
            if self._closed:
                future.set_result(Reply(Unknown("gateway_closed")))
                return future
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sandbox-writer", daemon=True)
                self._thread.start()
            self._queue.put((request, future))
        return future

    def close(self) -> None:
        """Answer the waiting requests, then end the thread. Later requests are Unknown."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is None:
            return
        self._queue.put(None)
        thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                self._answer(group)

    def _next_group(self) -> list[Waiting] | None:
        """Wait for one request and return it with all others that wait; None at the end."""
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        try:
            while len(group) < MAX_GROUP:
                following = self._queue.get_nowait()
                if following is None:
                    self._queue.put(None)  # for the next call: nothing is queued behind the end
                    break
                group.append(following)
        except Empty:
            pass
        return group

    def _answer(self, group: list[Waiting]) -> None:
        try:
            replies = self._carry_out([request for request, _ in group])
        except Exception:
            # A bug must not end the thread: every later call would time out.
            log.exception("sandbox.group_failed", requests=len(group))
            replies = [Reply(Unknown("server_error"))] * len(group)
        for (_, future), reply in zip(group, replies, strict=True):
            future.set_result(reply)
