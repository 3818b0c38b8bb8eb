"""Limits how many buyers have arrived, so that some are left for every fault."""

import time
from collections.abc import Sequence
from typing import Final

#: Buyers that arrive each second beyond those that are due, and buyers kept back for each later fault.
EXTRA_PER_SECOND: Final = 4
KEPT_PER_FAULT: Final = 4


class ArrivalLimit:
    """Counts the allowed arrivals: buyers keep arriving during a fault, and some are kept back for each later one."""

    def __init__(self, count: int, moments: Sequence[int]) -> None:
        """Allow `count` buyers in all; `moments` has the number of arrivals before each fault."""
        self._count, self._moments = count, moments
        self._done, self._extra = 0, 0
        self._began = time.monotonic()

    def count_allowed(self) -> int:
        """Return how many buyers may have arrived by now."""
        left = len(self._moments) - self._done
        if not left:
            return self._count
        moment = self._moments[min(self._done + 1, len(self._moments) - 1)]
        steady = int((time.monotonic() - self._began) * EXTRA_PER_SECOND)
        return min(moment + 1 + steady + self._extra, self._count - KEPT_PER_FAULT * left + self._extra)

    def allow_one_more(self) -> None:
        """Allow one of the buyers that were kept back for the current fault."""
        self._extra += 1

    def note_fault(self) -> None:
        """Note that a fault is over: the buyers kept back for it count among all others."""
        self._done, self._extra = self._done + 1, 0
