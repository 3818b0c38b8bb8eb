"""A process that has imported the engine and starts Python processes by `fork`.

A worker spends nearly all of its start on imports, about a second of processor time. A fleet of fifteen, each started
by `exec`, takes ten seconds on two cores; forked from one process that has imported once, it takes two.

Both sides send JSON objects over a socket pair, a message each: `{"command": [...], "env": {...}, "cwd": "..."}`, with
the file descriptors of the new process's input, output and error output, is answered with `{"forked": PID}`; when the
process has ended, `{"ended": PID, "code": N}` follows, with the code that `subprocess.Popen` returns. The server
(`fork_loop.py`) ends when the other side closes or dies.
"""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from scripts.environments.fork_loop import MESSAGE_BYTES

ROOT: Final = Path(__file__).resolve().parents[2]
#: `fork` is safe on Linux in a process without threads; libraries of macOS start some.
IS_AVAILABLE: Final = sys.platform == "linux"
#: Imports on a busy machine; the first answer follows them.
START_SECONDS: Final = 60


class ForkServerError(OSError):
    """The fork server ended, or did not answer in time."""


class ForkedProcess:
    """A forked process, the leader of its own group, with what a supervisor uses of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        """Take a process that was just started."""
        self.pid = pid
        self.stdout: IO[str] | None = None
        self._code = 0
        self._ended = threading.Event()

    def poll(self) -> int | None:
        """Return the exit code, -N for a process that signal N has ended, or None while it runs."""
        return self._code if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended; raise subprocess.TimeoutExpired after so many seconds."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self._code

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        if not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def end(self, code: int) -> None:
        """Store its exit code."""
        self._code = code
        self._ended.set()


class ForkServer:
    """Starts processes by fork: with its own environment, at the root of the project, unless a start says otherwise."""

    def __init__(self, env: Mapping[str, str], modules: Sequence[str]) -> None:
        """Start the server, which imports these modules first; it does not wait for that.

        One that takes longer than `start_seconds` to start a process is killed.
        """
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "scripts.environments.fork_loop", str(theirs.fileno()), *modules],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C reaches its processes through their supervisor only
            )
        self.start_seconds: float = START_SECONDS
        self._lock = threading.Lock()
        self._forked: queue.SimpleQueue[ForkedProcess | None] = queue.SimpleQueue()
        self._running: dict[int, ForkedProcess] = {}
        self._reader = threading.Thread(target=self._read, name="fork server", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.pid

    def is_running(self) -> bool:
        """Return whether it can start processes."""
        return self._reader.is_alive()

    def spawn(self, command: Sequence[str]) -> ForkedProcess:
        """Start a process without input, whose `stdout` is both of its outputs; it raises what `start` raises."""
        reading, writing = os.pipe()
        try:
            with open(os.devnull, "rb") as nothing:
                process = self.start(command, (nothing.fileno(), writing, writing))
        except ForkServerError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        process.stdout = os.fdopen(reading, errors="replace")
        return process

    def start(
        self,
        command: Sequence[str],
        files: tuple[int, int, int],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> ForkedProcess:
        """Start one process on these descriptors of its input, output and error output, which stay the caller's.

        Raises ForkServerError where the server has ended or does not answer, or the request is too long for it.
        """
        request = json.dumps({"command": list(command), "env": None if env is None else dict(env), "cwd": cwd}).encode()
        process = None
        if len(request) <= MESSAGE_BYTES:
            with contextlib.suppress(OSError), self._lock:
                socket.send_fds(self._socket, [request], files)
                try:
                    process = self._forked.get(timeout=self.start_seconds)
                except queue.Empty:
                    self._server.kill()  # a late answer would be taken for the one of the next start
        if process is None:
            raise ForkServerError("The fork server does not answer.")
        return process

    def close(self) -> None:
        """End the server. Processes that still run stay; their supervisor ends them first. Idempotent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()
        self._server.wait()

    def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while answer := self._socket.recv(MESSAGE_BYTES):
                facts = json.loads(answer)
                if "forked" in facts:
                    process = self._running[facts["forked"]] = ForkedProcess(facts["forked"])
                    self._forked.put(process)
                else:
                    self._running.pop(facts["ended"]).end(facts["code"])
        # No exit code is known from now on: its processes count as killed, and their supervisor kills them.
        for process in self._running.values():
            process.end(-signal.SIGKILL)
        self._forked.put(None)
