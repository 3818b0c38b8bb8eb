"""Ends what a process has started, however that process ends: a resource reaper, one beside each process that starts.

A command that ends on Ctrl-C or SIGTERM stops its servers and workers itself. SIGKILL leaves it no time, and a test run
on SIGTERM takes none. So `mark` starts a small process in a session of its own that waits for the end of its standard
input. That end comes when the process that holds the other side is gone. Whatever carries the mark in its environment
is then told to end, and after a grace killed, with all its descendants. The mark goes from parent to child, so nobody
has to report what was started, and there is no moment at which a process runs unseen.

Processes are found in /proc, as Linux has it. On macOS a command that is killed by force leaves its workers; its
embedded servers end there too (`scripts/local_servers/owner.py`).
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
from pathlib import Path
from typing import Final
from uuid import uuid4

#: What sees the end of its input ends by itself in this time, in its own order.
PATIENCE_SECONDS: Final = 0.5
#: Above the fifteen seconds that a supervisor gives its workers.
GRACE_SECONDS: Final = 20
#: What is still there then hangs in the kernel, or is not ours to kill.
KILL_SECONDS: Final = 10
POLL_SECONDS: Final = 0.05


class Reaper:
    """The process that waits, seen from the one that it waits for."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self.name = f"REAPED_WITH_{uuid4().hex}"
        self._folders: list[bytes] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def reach(self) -> int:
        """Have it running, again if it was killed; returns its process id."""
        with self._lock:
            return self._reach().pid

    def add(self, folder: Path) -> None:
        """Have this folder removed at the end, if it is still there."""
        with self._lock:
            place = os.fsencode(folder.absolute()) + b"\0"
            process = self._reach()
            if process.stdin is not None:
                process.stdin.write(place)
            self._folders.append(place)

    def release(self) -> None:
        """Let it do its work, and wait for that: at the regular end of a process there is nothing left to do."""
        with self._lock, contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                self._process.wait(PATIENCE_SECONDS + GRACE_SECONDS)

    def _reach(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            atexit.register(self.release)
        elif self._process.poll() is None:
            return self._process
        elif self._process.stdin is not None:
            self._process.stdin.close()
        # Without the environment, it carries no mark itself; without our output, nobody who reads that waits for it.
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
    """Return what goes into the environment of a process so that it ends with this one."""
    _OWN.reach()
    return {_OWN.name: "1"}


def discard(folder: Path) -> None:
    """Have a temporary folder removed if this process ends before it has removed it itself."""
    _OWN.add(folder)


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Give a temporary folder that is removed in any case."""
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        discard(Path(folder))
        yield Path(folder)


def find_marked(name: str) -> dict[int, int]:
    """Return the living processes with this mark and their descendants, each with its parent."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with contextlib.suppress(OSError):  # it ended just now, or is not ours to look at
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[pid] = int(parent)
                # A process of another account may keep its environment to itself; then the mark is an argument.
                if any(name.encode() in (folder / place).read_bytes() for place in ("cmdline", "environ")):
                    found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: parents[pid] for pid in found - {os.getpid()}}


def end_marked(name: str, *, grace_seconds: float = GRACE_SECONDS) -> None:
    """End them: first whoever has no parent among them, for a parent ends its children in its own order."""
    deadline = time.monotonic() + grace_seconds
    asked: set[int] = set()
    while (living := find_marked(name)) and time.monotonic() < deadline + KILL_SECONDS:
        late = time.monotonic() > deadline
        for pid, parent in living.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if late:
                    os.kill(pid, signal.SIGKILL)
                elif parent not in living and pid not in asked:
                    asked.add(pid)
                    os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)  # one that is stopped cannot end
        time.sleep(POLL_SECONDS)


def main(name: str) -> None:
    """Wait for the end of the input, which names folders; end what is marked, remove the folders."""
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
