"""The publisher of the pipeline, on the broker."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import structlog
from dramatiq import Message
from redis.exceptions import RedisError

from pipeline.messaging import OutgoingMessage
from workers.broker.batch_broker import BatchBroker
from workers.broker.queue_stats import name_wake_ups, to_millis

log = structlog.get_logger(__name__)

#: After a failure nothing is sent for this long: a Redis that does not answer must not cost every batch a second.
PAUSE_SECONDS: Final = 1.0


class RedisSender:
    """Sends best effort: the sweep sends what could not be sent. Thread-safe."""

    def __init__(self, broker: BatchBroker, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Send through this broker."""
        self._broker = broker
        self._clock = clock
        self._lock = threading.Lock()
        self._failing = False
        self._closed_until = 0.0

    def send(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Send all in one round trip; False, at once or within a second, when Redis is away. Never raises for that."""
        if not messages:
            return True
        if not self._may_try():
            log.debug("send.skipped", count=len(messages))
            return False
        try:
            self._broker.enqueue_many([_to_message(each) for each in messages])
        except (RedisError, OSError) as error:
            log.warning("send.failed", count=len(messages), error=repr(error))
            self._note(failing=True)
            return False
        self._note(failing=False)
        return True

    def wake(self, checkout_ids: Sequence[UUID]) -> None:
        """Wake the long polls of these checkouts; none of them when Redis is away. Never raises for that."""
        if not self._may_try():
            return
        payload = ",".join(str(each) for each in checkout_ids)
        try:
            self._broker.client.publish(name_wake_ups(self._broker.namespace, self._broker.client), payload)
        except (RedisError, OSError) as error:
            log.warning("wake.failed", count=len(checkout_ids), error=repr(error))
            self._note(failing=True)
        else:
            self._note(failing=False)

    def _may_try(self) -> bool:
        with self._lock:
            if not self._failing:
                return True
            if self._clock() < self._closed_until:
                return False
            # One thread tries; the others continue without Redis until it has a result.
            self._closed_until = self._clock() + PAUSE_SECONDS
            return True

    def _note(self, *, failing: bool) -> None:
        with self._lock:
            self._failing = failing
            self._closed_until = self._clock() + PAUSE_SECONDS


def _to_message(message: OutgoingMessage) -> Message[None]:
    return Message(
        queue_name=message.queue,
        actor_name=message.queue.removeprefix("checkout."),
        args=(str(message.subject_id),),
        kwargs={},
        options={"sent_at": to_millis(message.sent_at)},
    )
