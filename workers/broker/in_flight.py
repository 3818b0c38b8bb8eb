"""Batches that this process has fetched from a queue and not finished."""

import threading
from collections.abc import Collection


class InFlight:
    """Batches in flight. Thread-safe; outlives the queue's consumer, which dramatiq may replace while actors run."""

    def __init__(self) -> None:
        """Begin without a batch."""
        self._changed = threading.Condition()
        self._batches: dict[str, tuple[bytes, ...]] = {}

    def add(self, message_id: str, ids: Collection[bytes]) -> None:
        """Add a batch."""
        with self._changed:
            self._batches[message_id] = tuple(ids)

    def remove(self, message_id: str) -> None:
        """Remove a batch; a second call changes nothing."""
        with self._changed:
            self._batches.pop(message_id, None)
            self._changed.notify_all()

    def ids(self) -> set[bytes]:
        """Return the ids of all members of all batches."""
        with self._changed:
            return {redis_id for ids in self._batches.values() for redis_id in ids}

    def wait_for_room(self, limit: int, seconds: float) -> bool:
        """Wait at most `seconds` until there are fewer than `limit` batches; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._batches) < limit, timeout=seconds)
