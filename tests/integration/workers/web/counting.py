"""Rate limits of one process on a real server, without HTTP, in a minute that does not turn."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from redis import Redis
from sqlalchemy import make_url

from tests.support.patience import WAIT_SECONDS
from workers.broker.queue_stats import NAMESPACE
from workers.broker.redis_client import connect_redis
from workers.web.protection.policies import Policy
from workers.web.protection.rate_limits import RateLimits
from workers.web.protection.shared_counts import SharedCounts

T = TypeVar("T")

#: Half a minute after one has begun.
HALF_PAST: Final = 1_800_000_030.0
TIMEOUTS: Final = ("socket_timeout", "socket_connect_timeout")


class AtOnce(Executor):
    """Runs each job when it is submitted: a round trip that takes no time."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run the job."""
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Stuck(Executor):
    """Runs no job: a thread that waits for a server."""

    def __init__(self) -> None:
        """Start without jobs."""
        self.jobs: list[Callable[..., Any]] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Keep the job."""
        self.jobs.append(lambda: fn(*args, **kwargs))
        return Future()


@dataclass
class Process:
    """The rate limits of one web process, with a connection of its own."""

    client: Redis
    limits: RateLimits

    def send(self, number: int = 1, *, client: str = "key", policy: Policy = Policy.WRITES) -> int:
        """Count so many requests, and return how many are granted."""
        return sum(self.limits.count(policy, client).granted for _ in range(number))

    def close(self) -> None:
        """End its thread and its connection."""
        self.limits.close()
        self.client.close()


def open_process(url: str, threads: Executor | None = None, **limits: int) -> Process:
    """Return a process with these limits, whose reports these threads send, with patience for a busy machine."""
    patient = make_url(url).update_query_dict(dict.fromkeys(TIMEOUTS, str(WAIT_SECONDS)))
    client = connect_redis(patient.render_as_string(hide_password=False))
    shared = SharedCounts(client, NAMESPACE) if threads is None else SharedCounts(client, NAMESPACE, lambda: threads)
    return Process(client, RateLimits({Policy(name): limit for name, limit in limits.items()}, shared))
