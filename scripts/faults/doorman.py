"""Decides how many buyers may have come by now: enough for every fault to meet some."""

import time
from collections.abc import Sequence
from typing import Final

#: How many buyers come each second beside those whose moment has come, and how many are kept for each later fault.
TRICKLE_PER_SECOND: Final = 4
RESERVE: Final = 4


class Doorman:
    """Lets buyers in: they go on coming while a fault lasts, and some are left for each that is still to come."""

    def __init__(self, count: int, moments: Sequence[int]) -> None:
        """Let `count` in all in; `moments` says after how many each fault comes."""
        self._count, self._moments = count, moments
        self._done, self._called = 0, 0
        self._began = time.monotonic()

    def room(self) -> int:
        """Return how many may have come by now."""
        left = len(self._moments) - self._done
        if not left:
            return self._count
        moment = self._moments[min(self._done + 1, len(self._moments) - 1)]
        trickle = int((time.monotonic() - self._began) * TRICKLE_PER_SECOND)
        return min(moment + 1 + trickle + self._called, self._count - RESERVE * left + self._called)

    def call_buyer(self) -> None:
        """Let one more in, who was kept for the fault of now."""
        self._called += 1

    def note_fault(self) -> None:
        """A fault is over: who was called for it counts among all others."""
        self._done, self._called = self._done + 1, 0
