"""The fork server's process: `python -m scripts.environments.fork_loop SOCKET MODULE ...`; see `fork_server.py`."""

import atexit
import contextlib
import importlib
import io
import json
import multiprocessing
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from workers.garbage import pause_collector
from workers.start import import_structlog

#: Of a message; a command is far shorter, with its environment too.
MESSAGE_BYTES: Final = 131_072


def serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork a process for each request until the other side closes; return None then, and the request in each child."""
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
            request, files, _flags, _address = socket.recv_fds(connection, MESSAGE_BYTES, 3)
            if not request:
                return None
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.set_wakeup_fd(-1)
                os.setpgid(0, 0)
                for number, file in enumerate(files):
                    os.dup2(file, number)
                for number in (connection.detach(), woken, wake, *files):
                    os.close(number)
                started: dict[str, Any] = json.loads(request)
                return started
            with contextlib.suppress(OSError):  # it has done so itself, or has ended
                os.setpgid(pid, pid)
            connection.send(json.dumps({"forked": pid}).encode())
            for file in files:
                os.close(file)


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


def open_streams() -> None:
    """Open the standard streams as an interpreter does: the server's remember whether its own files can seek."""
    given = sys.stdin
    reader = io.BufferedReader(io.FileIO(0, closefd=False))
    sys.stdin = io.TextIOWrapper(reader, encoding=given.encoding, errors=given.errors)
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, name in ((1, "stdout"), (2, "stderr")):
        raw, stream = io.FileIO(number, "wb", closefd=False), getattr(sys, name)
        opened = io.TextIOWrapper(
            raw if is_unbuffered else io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=stream.errors,
            newline="\n",
            line_buffering=not is_unbuffered and (name == "stderr" or raw.isatty()),
            write_through=is_unbuffered,
        )
        setattr(sys, name, opened)


def run(command: Sequence[str], env: Mapping[str, str] | None, cwd: str | None) -> None:
    """Run a command as the main module of this process: one of `name_module`, or `python FILE ...`."""
    if env is not None:
        os.environ.clear()
        os.environ.update(env)
        open_streams()
    if cwd is not None:
        os.chdir(cwd)
    module = name_module(command)
    sys.argv = module or list(command[1:])
    with contextlib.suppress(OSError):  # the name that `ps` and `top` show; the command line stays the server's
        Path("/proc/self/comm").write_text(Path(sys.argv[0]).name)
    # dramatiq's master forks its child, on every version of Python; others would start from nothing again.
    multiprocessing.set_start_method("fork")
    if module:
        sys.path[0] = str(Path.cwd())
        runpy.run_module(module[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
        runpy.run_path(sys.argv[0], run_name="__main__")


def leave(codes: Sequence[int]) -> None:
    """End this process with the code, if there is one, without freeing one by one what the system frees at once.

    That takes 70 ms, and a copy of each page that the process shares with the others.
    """
    if codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(codes[0])


def main() -> None:
    """Import, serve, and in each child run its command, to the regular end of an interpreter."""
    number, *modules = sys.argv[1:]
    codes: list[int] = []
    atexit.register(leave, codes)  # the first one that is registered is the last one that is called
    with pause_collector():
        # Commands write with rich, and structlog finds it in them.
        if "rich" not in modules:
            import_structlog()
        for name in modules:
            # A forked process imports it again, and reports the reason in its own log.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    try:
        request = serve(socket.socket(fileno=int(number)))
    except ConnectionError:  # the other side was killed
        request = None
    if request is None:
        return
    try:
        run(**request)
        codes.append(0)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            codes.append((end.code or 0) & 0xFF)
        raise


if __name__ == "__main__":
    main()
