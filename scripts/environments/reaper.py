"""A resource reaper: ends the processes that another process has started, however that process ends.

A command that ends on Ctrl-C or SIGTERM stops its servers and workers itself. After SIGKILL it cannot, and a test run
does not on SIGTERM. So `mark` starts a small process in its own session that waits for the end of its standard input,
which comes when the process at the other side has ended. Then every process with the mark in its environment gets
SIGTERM, and after a grace period SIGKILL, with all its descendants. A child inherits the mark, so no process has to
report what it started, and no process ever runs without the mark.

Processes are found in Linux's /proc. On macOS a command that is killed by force leaves its workers; its embedded
servers end there too (`scripts/local_servers/owner.py`).
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final
from uuid import uuid4

#: Processes that see the end of their input end by themselves in this time, in their own order.
PATIENCE_SECONDS: Final = 0.5
#: Above the fifteen seconds that a supervisor allows its workers.
GRACE_SECONDS: Final = 20
#: A process that still runs then hangs in the kernel, or may not be killed by this account.
KILL_SECONDS: Final = 10
POLL_SECONDS: Final = 0.05


class Reaper:
    """The reaper process, seen from the process that it watches."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._folders: list[bytes] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @cached_property
    def name(self) -> str:
        """The mark, drawn when it is used first: forked processes share what was drawn before the fork."""
        return f"REAPED_WITH_{uuid4().hex}"

    def ensure_running(self) -> int:
        """Start the reaper process, again if it was killed; return its process id."""
        with self._lock:
            return self._ensure_running().pid

    def add(self, folder: Path) -> None:
        """Remove this folder at the end, if it still exists."""
        with self._lock:
            place = os.fsencode(folder.absolute()) + b"\0"
            process = self._ensure_running()
            if process.stdin is not None:
                process.stdin.write(place)
            self._folders.append(place)

    def forget(self) -> None:
        """Begin again, in a forked process: the reaper of the first one watches that one."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.returncode = 0  # it is no child of this process, which would complain that it still runs
        vars(self).pop("name", None)
        self._folders, self._process, self._lock = [], None, threading.Lock()

    def release(self) -> None:
        """Close the reaper's input and wait for it: at the regular end of a process nothing is left to do."""
        with self._lock, contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                self._process.wait(PATIENCE_SECONDS + GRACE_SECONDS)

    def _ensure_running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            atexit.register(self.release)
        elif self._process.poll() is None:
            return self._process
        elif self._process.stdin is not None:
            self._process.stdin.close()
        # Without the environment it has no mark itself; without this process's output no reader of that waits for it.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).resolve()), self.name],
            env={},
            cwd="/",
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._process.stdin is not None:
            self._process.stdin.write(b"".join(self._folders))
        return self._process


_OWN: Final = Reaper()


def mark() -> dict[str, str]:
    """Return the environment variable with which a process ends with this one."""
    _OWN.ensure_running()
    return {_OWN.name: "1"}


def renew() -> dict[str, str]:
    """Return what `mark` returns, in a forked process that is to have a mark of its own."""
    _OWN.forget()
    return mark()


def discard(folder: Path) -> None:
    """Remove a temporary folder if this process ends before it has removed it itself."""
    _OWN.add(folder)


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Yield a temporary folder that is removed in any case."""
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        discard(Path(folder))
        yield Path(folder)


def find_marked(name: str) -> dict[int, int]:
    """Return the running processes with this mark and their descendants, each with its parent."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with contextlib.suppress(OSError):  # it has just ended, or belongs to another account
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[pid] = int(parent)
                # The environment of another account's process may not be readable; then the mark is an argument.
                if any(name.encode() in (folder / place).read_bytes() for place in ("cmdline", "environ")):
                    found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: parents[pid] for pid in found - {os.getpid()}}


def end_marked(name: str, *, grace_seconds: float = GRACE_SECONDS) -> None:
    """End the marked processes: first those without a parent among them, since a parent ends its children in order."""
    deadline = time.monotonic() + grace_seconds
    signalled: set[int] = set()
    while (living := find_marked(name)) and time.monotonic() < deadline + KILL_SECONDS:
        late = time.monotonic() > deadline
        for pid, parent in living.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if late:
                    os.kill(pid, signal.SIGKILL)
                elif parent not in living and pid not in signalled:
                    signalled.add(pid)
                    os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)  # a suspended process cannot end
        time.sleep(POLL_SECONDS)


def main(name: str) -> None:
    """Read folder names until the end of the input; then end the marked processes and remove the folders."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    folders = sys.stdin.buffer.read().split(b"\0")
    if find_marked(name):
        time.sleep(PATIENCE_SECONDS)
        end_marked(name)
    for folder in filter(None, folders):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
