"""The broker: dramatiq's on Redis, with batches, and with wake-ups instead of polling.

Redis has messages and wake-ups, and no other state. What it loses, the sweep redelivers.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast
from uuid import uuid4

from dramatiq import Message, Middleware
from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import QueueNotFound
from dramatiq.middleware import CurrentMessage

from workers.broker.batch_consumer import BatchConsumer
from workers.broker.in_flight import InFlight
from workers.broker.lua_scripts import WAKE_TOKENS, WorkerScripts
from workers.broker.message_validation import MemberOption, QueuedMessage, UnfitMessage, read_member
from workers.broker.pace import Pace
from workers.broker.queue_client import QueueLink
from workers.broker.queue_stats import NAMESPACE, QueueKeys
from workers.broker.redis_client import SOCKET_SECONDS, connect_redis

#: Largest batch: a script unpacks a batch onto Lua's stack, which holds about 8,000 values.
MAX_BATCH: Final = 1000
#: Messages sent in one script: Redis serves no other client meanwhile, and a thousand take it about 2 ms.
MAX_SEND: Final = 1000
#: The time of a later message belongs in a row's `due_at`: dramatiq keeps delayed ones in a worker's memory.
NO_DELAY: Final = "Messages cannot be delayed: write the time into the checkout's due_at, the sweep sends it then."


class BatchBroker(RedisBroker):
    """Delivers messages in batches. Keys and messages are dramatiq's own: its stock broker can be on either side."""

    def __init__(
        self,
        *,
        url: str,
        on_refused: Callable[[UnfitMessage], None],
        batch_size: int = 64,
        batch_wait_share: float = 0.0,
        poll_interval_seconds: float = 0.5,
        heartbeat_seconds: float = 15,
        namespace: str = NAMESPACE,
        middleware: Iterable[Middleware] = (),
    ) -> None:
        """Connect at first use. Give it a Redis database of its own.

        `batch_wait_share`: the pause between two batches of a queue, as a share of the age of their checkouts.

        `on_refused` is called with each invalid message; when it returns, the message is dead-lettered, when it raises,
        the message stays. Of dramatiq's middleware only the current message is used: retries, time limits and the rest
        lose messages or interrupt between commit and send.
        """
        if not 1 <= batch_size <= MAX_BATCH:
            raise ValueError(f"batch_size is {batch_size}: say 1 to {MAX_BATCH}.")
        if not 0 < poll_interval_seconds < 1:
            raise ValueError(
                f"poll_interval_seconds is {poll_interval_seconds}: say more than 0 and less than 1, workers must beat."
            )
        super().__init__(  # type: ignore[no-untyped-call]  # dramatiq annotates its Redis broker in part
            client=connect_redis(url),
            middleware=[CurrentMessage(), MemberOption(), *middleware],
            namespace=namespace,
            maintenance_chance=1_000_000,
            heartbeat_timeout=int(heartbeat_seconds * 1000),
        )
        self.wait_client = connect_redis(url, floor_seconds=poll_interval_seconds + SOCKET_SECONDS)
        self.worker_scripts = WorkerScripts.register(self.client)
        self.batch_size = batch_size
        self.batch_wait_share = batch_wait_share
        self.poll_interval_seconds = poll_interval_seconds
        self.beat_seconds = min(1.0, heartbeat_seconds / 4)
        self.on_refused = on_refused
        self._in_flight: dict[str, InFlight] = {}

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, without dramatiq's delay queue."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self._in_flight[queue_name] = InFlight()
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Send one message. Raises what the client raises when Redis is away."""
        if delay is not None:
            raise ValueError(NO_DELAY)
        return self.enqueue_many([message])[0]

    def enqueue_many(self, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        """Send all in one round trip (a thousand at a time), waking each queue's consumers.

        Raises what the client raises when Redis is away; some or all may then have been sent nevertheless.
        """
        sent = [message.copy(options={"redis_message_id": str(uuid4())}) for message in messages]
        for start in range(0, len(sent), MAX_SEND):
            part = sent[start : start + MAX_SEND]
            for message in part:
                self.emit_before("enqueue", message, None)
            self._send(part)
            for message in part:
                self.emit_after("enqueue", message, None)
        return sent

    def _send(self, messages: Sequence[Message[Any]]) -> None:
        numbers: dict[str, int] = {}
        args: list[int | str | bytes] = [WAKE_TOKENS]
        for message in messages:
            number = numbers.setdefault(message.queue_name, len(numbers) + 1)
            args += (number, message.options["redis_message_id"], message.encode())
        keys = [QueueKeys.name(self.namespace, queue) for queue in numbers]
        self.worker_scripts.enqueue(
            keys=[key for each in keys for key in (each.waiting, each.messages, each.wake)], args=args
        )

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """Return a consumer of a declared queue.

        dramatiq passes a `prefetch` of twice its worker threads: one batch per thread, and none idle in memory.
        """
        del timeout
        if queue_name not in self._in_flight:
            raise QueueNotFound(queue_name)
        link = QueueLink(
            client=self.client,
            wait_client=self.wait_client,
            scripts=self.worker_scripts,
            namespace=self.namespace,
            queue=queue_name,
            worker=self.broker_id,
            beat=lambda: self._beat(queue_name),
        )
        return BatchConsumer(
            link,
            self._in_flight[queue_name],
            limit=max(1, prefetch // 2),
            batch_size=self.batch_size,
            poll_interval_seconds=self.poll_interval_seconds,
            beat_seconds=self.beat_seconds,
            pace=Pace(self.batch_wait_share),
            read_member=self._read_member,
            on_refused=self.on_refused,
        )

    def _beat(self, queue_name: str) -> None:
        # dramatiq's own fetch, of no message: a heartbeat, and the messages of crashed workers in this queue requeued.
        self.do_fetch(queue_name, 0)

    def _dispatch(self, command: str) -> Callable[..., Any]:
        """Return dramatiq's script for a command, with Redis's clock instead of this host's.

        That is one more round trip, once a second.
        """

        def dispatch(queue_name: str, *arguments: Any) -> Any:
            seconds, micros = cast("tuple[int, int]", self.client.time())
            first = (command, seconds * 1000 + micros // 1000, queue_name, self.broker_id, self.heartbeat_timeout)
            limit = self._max_unpack_size()  # type: ignore[no-untyped-call]
            others = (self.dead_message_ttl, self._should_do_maintenance(command), limit, *arguments)
            return self.scripts["dispatch"](args=[*first, *others], keys=[self.namespace])

        return dispatch

    def _should_do_maintenance(self, command: str) -> int:
        return int(command == "fetch")

    def _read_member(self, data: bytes, queue: str) -> QueuedMessage | UnfitMessage:
        return read_member(data, queue, self.actors)

    def close(self) -> None:
        """Close the connections."""
        self.client.connection_pool.disconnect()
        self.wait_client.connection_pool.disconnect()
