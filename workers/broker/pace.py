"""The pause between two batches: what arrives meanwhile shares a transaction, and whoever is alone waits for nobody.

A batch of one costs a queue a message, a transaction and a wake-up, as a batch of fifty does. Under ordinary load
workers take what is there at once, so that batches stay at one or two. A pause is measured from the beginning of the
last batch, and is a share of the time that its checkouts have taken so far: a checkout alone finds the last batch
longer ago than that, and under load, where a checkout takes long, batches grow.
"""

import threading
import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Final

#: A longer pause makes no cheaper batches: at some hundred purchases a second it fills a transaction.
MOST_SECONDS: Final = 0.1


class Pace:
    """The pause of one queue of this process. Thread-safe."""

    def __init__(self, share: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Pause for this share of the age of what was taken last; 0 means never."""
        self._share = share
        self._clock = clock
        self._lock = threading.Lock()
        self._until = 0.0

    def begin(self, ages_seconds: Iterable[float]) -> None:
        """Begin a batch whose members have these ages."""
        ages = list(ages_seconds)
        # The median: a checkout that waited for its buyer for minutes delays nobody.
        pause = min(self._share * median(ages), MOST_SECONDS) if ages else 0.0
        with self._lock:
            self._until = self._clock() + pause

    def left_seconds(self) -> float:
        """Return for how long the next batch should wait; 0 or less when it may begin."""
        with self._lock:
            return self._until - self._clock()
