"""What this process has fetched from a queue and not finished."""

import threading
from collections.abc import Collection


class InFlight:
    """Batches in hand. Thread-safe; outlives the queue's consumer, which dramatiq may replace while actors run."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._changed = threading.Condition()
        self._batches: dict[str, tuple[bytes, ...]] = {}

    def add(self, message_id: str, ids: Collection[bytes]) -> None:
        """Take a batch in hand."""
        with self._changed:
            self._batches[message_id] = tuple(ids)

    def remove(self, message_id: str) -> None:
        """Let a batch go; harmless twice."""
        with self._changed:
            self._batches.pop(message_id, None)
            self._changed.notify_all()

    def ids(self) -> set[bytes]:
        """Return the ids of every member in hand."""
        with self._changed:
            return {redis_id for ids in self._batches.values() for redis_id in ids}

    def wait_for_room(self, limit: int, seconds: float) -> bool:
        """Wait until fewer than `limit` batches are in hand, at most `seconds`; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._batches) < limit, timeout=seconds)
