"""Brokers, recording actors and workers of one test, all closed at its end."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import dramatiq
from dramatiq.broker import Broker

from tests.support.patience import WAIT_SECONDS
from workers.broker.batch_broker import BatchBroker
from workers.broker.message_validation import UnfitMessage
from workers.broker.redis_client import connect_redis

QUEUE = "checkout.price_lock"
ACTOR = "price_lock"


def make_ids(count: int) -> list[str]:
    """Return ids of checkouts."""
    return [str(uuid4()) for _ in range(count)]


def wait_until(condition: Callable[[], Any], *, seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition, at most `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.005)


@dataclass
class Recorder:
    """What an actor does: it writes down each call, and waits for the gate if it is shut."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    called_at: list[float] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __call__(self, *args: Any) -> None:
        """Be called with the arguments of a batch."""
        self.called_at.append(time.monotonic())
        self.calls.append(args)
        assert self.gate.wait(WAIT_SECONDS)

    @property
    def sizes(self) -> list[int]:
        """How many arguments each call had."""
        return [len(args) for args in self.calls]

    @property
    def seen(self) -> list[Any]:
        """All arguments, in order."""
        return [arg for args in self.calls for arg in args]


class Workshop:
    """Makes brokers on one Redis database."""

    def __init__(self, url: str) -> None:
        """Work on this database."""
        self.url = url
        self.client = connect_redis(url)
        self.refused: list[UnfitMessage] = []
        self._brokers: list[Broker] = []
        self._workers: list[dramatiq.Worker] = []
        self._recorders: list[Recorder] = []

    def make_broker(self, **options: Any) -> BatchBroker:
        """Return a broker with short times; what it refuses is in `refused`."""
        defaults: dict[str, Any] = {
            "poll_interval_seconds": 0.1,
            "heartbeat_seconds": 5,
            "on_refused": self.refused.append,
        }
        broker = BatchBroker(**(defaults | {"url": self.url} | options))
        self._brokers.append(broker)
        return broker

    def record(
        self, broker: Broker, *, queue: str = QUEUE, actor: str = ACTOR, shut: bool = False, **options: Any
    ) -> Recorder:
        """Declare an actor that records its calls."""
        recorder = Recorder()
        if not shut:
            recorder.gate.set()
        self._recorders.append(recorder)
        dramatiq.actor(actor_name=actor, queue_name=queue, broker=broker, **options)(recorder.__call__)
        return recorder

    def work(self, broker: Broker, *, threads: int = 1) -> dramatiq.Worker:
        """Start a worker of dramatiq's own."""
        worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=50)
        worker.start()
        self._workers.append(worker)
        return worker

    def send(self, broker: BatchBroker, ids: list[str], *, queue: str = QUEUE, actor: str = ACTOR) -> None:
        """Enqueue one message for each id, all at once."""
        broker.enqueue_many(
            [dramatiq.Message(queue_name=queue, actor_name=actor, args=(each,), kwargs={}, options={}) for each in ids]
        )

    def put_raw(self, body: bytes, *, queue: str = QUEUE) -> bytes:
        """Enqueue as any language can, without dramatiq and without a wake-up; returns the message's id in Redis."""
        redis_id = uuid4().hex.encode()
        self.client.hset(f"dramatiq:{queue}.msgs", redis_id, body)
        self.client.rpush(f"dramatiq:{queue}", redis_id)
        return redis_id

    def read_keys(self) -> set[str]:
        """Return the keys that hold messages: all but heartbeats and wake-up tokens."""
        keys = {cast("bytes", key).decode() for key in self.client.scan_iter()}
        return {key for key in keys if not key.endswith((":__heartbeats__", ".wake"))}

    def close(self) -> None:
        """Let every actor go on, stop every worker, close every connection."""
        for recorder in self._recorders:
            recorder.gate.set()
        for worker in self._workers:
            worker.stop(timeout=10_000)
        for broker in self._brokers:
            broker.close()
        self.client.close()
