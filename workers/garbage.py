"""Garbage collection in the processes."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Objects allocated and not yet freed before Python scans the young ones. A batch makes thousands, which are freed at
#: its end by their reference counts: a scan at every 700, as Python does by default, took 9 % of a worker's processor
#: time. Cycles, which an error makes, are still freed: after ten thousand objects, a few megabytes.
YOUNG_OBJECTS: Final = 10_000


@contextmanager
def pause_collector() -> Iterator[None]:
    """Scan nothing meanwhile, and never what was created meanwhile: for the start of a process.

    Nearly all of it is kept: 170,000 objects, and a thousand in cycles. To find those few would take a scan of 70 ms at
    the end, and Python's own twenty scans take an eighth of a start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def scan_rarely() -> None:
    """Scan the young objects of this process more rarely."""
    gc.set_threshold(YOUNG_OBJECTS)
