"""Counts that all web processes share, in Valkey or Redis: counters of a minute, and nothing else."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog
from limits.storage import RedisStorage
from redis import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

WINDOW_SECONDS: Final = 60
#: Pause between two attempts to reach a server that did not answer. An attempt takes up to a second of the thread.
RETRY_SECONDS: Final = 1.0


@dataclass(slots=True)
class Count:
    """The requests of one client in one minute. This process's own are counted by its event loop, the rest by a thread.

    `reported` are those of its own that were sent to the server; `others` are those that other processes had sent.
    """

    key: str
    own: int = 0
    reported: int = 0
    others: int = 0
    is_queued: bool = False


class SharedCounts:
    """Adds counts to those of the other processes, on a thread of its own: no request waits for the server.

    While the server does not answer, nothing is added, and each process goes on with what it knows. What is sent counts
    as added, whether its reply arrives or not: sent again it could be added twice, and would refuse what is allowed.
    """

    def __init__(
        self,
        client: Redis,
        namespace: str,
        make_threads: Callable[[], Executor] = lambda: ThreadPoolExecutor(1, thread_name_prefix="limits"),
    ) -> None:
        """Count with this client. No queue's key has a colon after the namespace's: the broker's keys are others."""
        self._storage = RedisStorage(
            "redis://", connection_pool=client.connection_pool, key_prefix=f"{namespace}:__limits__"
        )
        self._threads = make_threads()
        self._is_away = False
        self._quiet_until = 0.0

    def report(self, count: Count) -> None:
        """Have this count added, soon; does not wait."""
        if not count.is_queued and read_monotonic() >= self._quiet_until:
            count.is_queued = True
            self._threads.submit(self._add, count)

    def close(self) -> None:
        """End the thread. What was not reported is lost: at most a portion of each client's limit."""
        self._threads.shutdown(cancel_futures=True)

    def _add(self, count: Count) -> None:
        try:
            # A server that hangs has cost the thread one attempt: the others in the queue make none.
            if read_monotonic() >= self._quiet_until:
                self._reach(count)
        except (RedisError, OSError) as error:
            if not self._is_away:
                log.warning("rate_limits.alone", error=repr(error))
            self._lose()
        finally:
            count.is_queued = False

    def _reach(self, count: Count) -> None:
        # After an outage a ping goes first, which adds nothing if it is lost.
        if self._is_away and not self._storage.check():
            self._lose()
            return
        amount = count.own - count.reported
        count.reported += amount
        total = self._storage.incr(count.key, WINDOW_SECONDS, amount)
        # An emptied server has less than this process has sent.
        count.others = max(0, total - count.reported)
        if self._is_away:
            self._is_away = False
            log.info("rate_limits.shared")

    def _lose(self) -> None:
        self._is_away = True
        self._quiet_until = read_monotonic() + RETRY_SECONDS


def read_monotonic() -> float:
    """Return the seconds of a clock that is never set."""
    return time.monotonic()
