"""The heavy groups of a process: carried by one of its threads, one at a time, so that the others are free."""

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
    """Checkouts that are too much work to go with others; `way` says how they are worked on. Taken in hand just now."""

    ids: Sequence[UUID]
    way: T
    taken_at: float = field(default_factory=time.monotonic)


class Loads(Generic[T]):
    """What waits to be carried. Thread-safe."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._lock = threading.Lock()
        self._waiting: deque[Load[T]] = deque()
        self._carried = False

    def carry(self, loads: Sequence[Load[T]], work: Callable[[Load[T]], None], rest: Callable[[], object]) -> None:
        """Work on these, and on what other threads add meanwhile; or add them to those that another thread works on.

        `rest` is called after each, as long as others wait: it may take these away with `clear`.
        """
        with self._lock:
            self._waiting.extend(loads)
            if self._carried:
                return
            self._carried = True
        try:
            while (load := self._next()) is not None:
                work(load)
                if self.waiting():
                    rest()
        except BaseException:
            # What is left comes back by the sweep, as after the end of a process.
            with self._lock:
                self._waiting.clear()
                self._carried = False
            raise

    def waiting(self) -> list[Load[T]]:
        """Return what waits, the oldest first."""
        with self._lock:
            return list(self._waiting)

    def clear(self) -> list[Load[T]]:
        """Return what waits and hold it no longer."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def _next(self) -> Load[T] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._carried = False
            return None
