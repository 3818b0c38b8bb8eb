"""One worker's commands to Redis for one queue, each of them one round trip."""

from collections.abc import Callable, Sequence
from typing import cast

import redis

from workers.broker.lua_scripts import WorkerScripts
from workers.broker.queue_stats import QueueKeys, name_acks, name_heartbeats


class QueueLink:
    """The commands. Each raises what the client raises when Redis is away."""

    def __init__(
        self,
        *,
        client: redis.Redis,
        wait_client: redis.Redis,
        scripts: WorkerScripts,
        namespace: str,
        queue: str,
        worker: str,
        beat: Callable[[], None],
    ) -> None:
        """Take the worker and the queue."""
        self.queue = queue
        self.beat = beat
        self._client = client
        self._wait_client = wait_client
        self._scripts = scripts
        self._worker = worker
        self._keys = QueueKeys.name(namespace, queue)
        self._acks = name_acks(namespace, worker, queue)
        self._heartbeats = name_heartbeats(namespace)

    def fetch(self, count: int) -> dict[bytes, bytes | None]:
        """Fetch up to `count` waiting messages; one whose data is missing has None."""
        keys = self._keys
        ids, data = self._scripts.fetch(
            keys=[keys.waiting, keys.messages, self._acks, self._heartbeats, keys.wake],
            args=[self._worker, count],
        )
        return dict(zip(ids, data, strict=True))

    def ack(self, ids: Sequence[bytes]) -> None:
        """Delete messages that this worker still has."""
        self._scripts.ack(keys=[self._keys.messages, self._acks], args=ids)

    def nack(self, ids: Sequence[bytes]) -> None:
        """Dead-letter messages that this worker still has."""
        keys = self._keys
        self._scripts.nack(keys=[keys.messages, self._acks, keys.dead_lettered, keys.dead_lettered_messages], args=ids)

    def requeue(self, ids: Sequence[bytes]) -> int:
        """Requeue messages that this worker still has, wake a consumer, and return how many."""
        keys = self._keys
        return int(self._scripts.requeue(keys=[keys.waiting, keys.messages, self._acks, keys.wake], args=ids))

    def read_fetched(self) -> set[bytes]:
        """Return the messages that this worker, according to Redis, has fetched and not finished."""
        return cast("set[bytes]", self._client.smembers(self._acks))

    def wait_for_wake(self, seconds: float) -> None:
        """Block until a message is sent, or was sent since the last poll, or for `seconds`."""
        self._wait_client.blpop([self._keys.wake], timeout=seconds)
