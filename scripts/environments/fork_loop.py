"""The fork server's process: `python -m scripts.environments.fork_loop SOCKET MODULE ...`; see `fork_server.py`."""

import contextlib
import importlib
import json
import multiprocessing
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from workers.start import loading

#: Of a message; a command is far shorter.
MESSAGE_BYTES: Final = 65_536


def serve(connection: socket.socket) -> list[str] | None:
    """Fork a process for each request until the other side closes; return None then, and the command in each child."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
    while True:
        readable = select.select([connection.fileno(), woken], [], [])[0]
        if woken in readable:
            os.read(woken, MESSAGE_BYTES)
            for pid, code in reap():
                connection.send(json.dumps({"ended": pid, "code": code}).encode())
        if connection.fileno() in readable:
            request, files, _flags, _address = socket.recv_fds(connection, MESSAGE_BYTES, 1)
            if not request:
                return None
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.set_wakeup_fd(-1)
                os.setpgid(0, 0)
                os.dup2(files[0], 1)
                os.dup2(files[0], 2)
                for number in (connection.detach(), woken, wake, *files):
                    os.close(number)
                command: list[str] = json.loads(request)["command"]
                return command
            with contextlib.suppress(OSError):  # it has done so itself, or has ended
                os.setpgid(pid, pid)
            connection.send(json.dumps({"forked": pid}).encode())
            os.close(files[0])


def reap() -> Iterator[tuple[int, int]]:
    """Yield each child that has ended, with its exit code."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found[0], os.waitstatus_to_exitcode(found[1])


def name_module(command: Sequence[str]) -> list[str]:
    """Return the module of a command with its arguments, for `dramatiq ...` and `python -m ...`; else an empty list."""
    match command:
        case ["dramatiq", *_]:
            return list(command)
        case ["python", "-m", *rest]:
            return rest
        case _:
            return []


def main() -> None:
    """Import, serve, and in each child run its command as the main module, to the regular end of an interpreter."""
    number, *modules = sys.argv[1:]
    with loading():
        for name in modules:
            # A forked process imports it again, and reports the reason in its own log.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    try:
        command = serve(socket.socket(fileno=int(number)))
    except ConnectionError:  # the other side was killed
        command = None
    if command is not None:
        sys.argv = name_module(command)
        with contextlib.suppress(OSError):  # the name that `ps` and `top` show; the command line stays the server's
            Path("/proc/self/comm").write_text(sys.argv[0])
        # dramatiq's master forks its child, on every version of Python; others would start from nothing again.
        multiprocessing.set_start_method("fork")
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
