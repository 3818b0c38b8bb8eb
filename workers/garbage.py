"""How often Python looks for garbage in a worker."""

import gc
from typing import Final

#: Objects allocated and not yet freed before Python scans the young ones. A batch makes thousands that go when
#: it ends, by their counts: to look through them at every 700, as Python does, took 9 % of a worker's processor
#: time. Cycles, such as an error makes, still go: after ten thousand objects, a few megabytes.
YOUNG_OBJECTS: Final = 10_000


def tune_collector() -> None:
    """Leave alone for good what is loaded by now, and look through the rest more rarely.

    Call it last, when everything that the process keeps has been made.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
