"""Garbage collection in a worker."""

import gc
from typing import Final

#: Objects allocated and not yet freed before Python scans the young ones. A batch makes thousands, which are freed at
#: its end by their reference counts: a scan at every 700, as Python does by default, took 9 % of a worker's processor
#: time. Cycles, which an error makes, are still freed: after ten thousand objects, a few megabytes.
YOUNG_OBJECTS: Final = 10_000


def tune_collector() -> None:
    """Never scan again what is loaded by now, and scan the rest more rarely.

    Call it last, when everything that the process keeps has been created.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
