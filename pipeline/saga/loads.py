"""The heavy groups of a process: one of its threads works on them, one at a time, so that the others are free."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Load(Generic[T]):
    """Checkouts that are too much work for a shared batch; `way` is how they are worked on, `added_at` is now."""

    ids: Sequence[UUID]
    way: T
    added_at: float = field(default_factory=time.monotonic)


class Loads(Generic[T]):
    """The loads that wait. Thread-safe."""

    def __init__(self) -> None:
        """Begin without loads."""
        self._lock = threading.Lock()
        self._waiting: deque[Load[T]] = deque()
        self._has_worker = False

    def work_on(self, loads: Sequence[Load[T]], work: Callable[[Load[T]], None], pause: Callable[[], object]) -> None:
        """Work on these and on what other threads add meanwhile; or add them to those that another thread works on.

        `pause` is called after each load, as long as others wait: it may remove these with `clear`.
        """
        with self._lock:
            self._waiting.extend(loads)
            if self._has_worker:
                return
            self._has_worker = True
        try:
            while (load := self._next()) is not None:
                work(load)
                if self.waiting():
                    pause()
        except BaseException:
            # The sweep redelivers what is left, as after the end of a process.
            with self._lock:
                self._waiting.clear()
                self._has_worker = False
            raise

    def waiting(self) -> list[Load[T]]:
        """Return what waits, the oldest first."""
        with self._lock:
            return list(self._waiting)

    def clear(self) -> list[Load[T]]:
        """Remove the waiting loads and return them, the oldest first."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def _next(self) -> Load[T] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._has_worker = False
            return None
