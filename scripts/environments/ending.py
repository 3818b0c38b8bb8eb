"""Ctrl-C, and whatever else asks a script to end: noted at once, obeyed between two steps."""

import signal
import threading
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(Exception):
    """Somebody asked this process to end; `code` is the exit code that says so."""

    def __init__(self, signum: int) -> None:
        """Take the signal."""
        super().__init__("Ended before it was done; nothing is left behind.")
        self.code = 128 + signum


class Ending:
    """Watches for a request to end. An exception out of a signal handler could lose a process just being started.

    A context manager: the handlers are the former ones again at its end, unless somebody asked: the process is about to
    exit with a code that says so, and a second request must not cut that short. Enter it first, for the same reason.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._asked = threading.Event()
        self._signum = 0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "Ending":
        """Begin to watch."""
        self._former = {signum: signal.signal(signum, self._note) for signum in SIGNALS}
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop watching."""
        if not self._asked.is_set():
            for signum, handler in self._former.items():
                signal.signal(signum, handler)

    def check(self) -> None:
        """Raise Ended if it was asked for."""
        if self._asked.is_set():
            raise Ended(self._signum)

    def sleep(self, seconds: float) -> None:
        """Wait, and raise Ended as soon as it is asked for."""
        self._asked.wait(seconds)
        self.check()

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._signum = self._signum or signum
        self._asked.set()
