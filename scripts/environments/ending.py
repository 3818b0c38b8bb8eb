"""Ctrl-C and other signals that end a script: noted at once, obeyed between two steps."""

import os
import select
import signal
import time
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(Exception):
    """This process received a signal to end; `code` is the exit code for it."""

    def __init__(self, signum: int) -> None:
        """Derive the exit code from the signal."""
        super().__init__("Ended before it was done; nothing is left behind.")
        self.code = 128 + signum


class Ending:
    """Watches for signals to end. An exception from a signal handler could lose a process that is just being started.

    A context manager: at its end the former handlers are restored, unless a signal came: the process is about to exit
    with its code, and a second signal must not interrupt that. Enter it first, for the same reason.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._signum = 0
        self._former: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None

    def __enter__(self) -> "Ending":
        """Begin to watch."""
        self._pipe = os.pipe()
        self._former = {signum: signal.signal(signum, self._note) for signum in SIGNALS}
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop watching."""
        if not self._signum:
            for signum, handler in self._former.items():
                signal.signal(signum, handler)
        pipe, self._pipe = self._pipe, None
        for end in pipe or ():
            os.close(end)

    def check(self) -> None:
        """Raise Ended if a signal came."""
        if self._signum:
            raise Ended(self._signum)

    def sleep(self, seconds: float) -> None:
        """Wait, and raise Ended as soon as a signal comes."""
        if self._pipe is None:
            time.sleep(seconds)
        else:
            select.select([self._pipe[0]], [], [], seconds)
        self.check()

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # A byte in a pipe and no threading.Event: the handler runs at any point of the main thread, and would wait for
        # ever for the lock of an event that this thread is just waiting for.
        is_first, self._signum = not self._signum, self._signum or signum
        if is_first and self._pipe is not None:
            os.write(self._pipe[1], b"\0")
