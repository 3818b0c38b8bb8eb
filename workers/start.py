"""The start of a process. A shop has fifteen on the same cores: what one does not use, each would load.

The standard library only, so that everything else is loaded in `loading`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from workers.garbage import pause_collector


@contextmanager
def loading() -> Iterator[None]:
    """Import and build a process in here: without scans for garbage, and with the loggers without rich."""
    with pause_collector():
        import_structlog()
        yield


def import_structlog() -> None:
    """Import structlog as it is where rich is not installed: that is 80 modules, 5 MB and 45 ms less.

    It imports rich for tracebacks in colours, and the logs have plain ones (workers/logs.py). None in `sys.modules` is
    Python's own sign that there is no such module. It is there for this import only: who needs rich can import it.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # as the documentation of `sys.modules` has it
    try:
        import structlog  # noqa: F401, PLC0415 (for its own imports)
    finally:
        del sys.modules["rich"]
