"""Python commands in processes of their own, forked from one that has imported what commands import.

A command that is executed spends a second of processor time on imports, for work that takes tenths of one. A forked one
has its own process id, exit code, outputs, working directory and environment, and reads its settings from these. Tests
of a start itself execute it (`subprocess`); so does this module where processes cannot be forked, and for an
environment that has other settings of the interpreter than this one.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Self

from scripts.environments.fork_server import IS_AVAILABLE, ForkedProcess, ForkServer
from scripts.environments.reaper import mark

#: What commands import. `rich` is named so that structlog finds it, as in an executed command.
MODULES: Final = (
    *("rich", "typer", "scripts.cli", "scripts.audit", "scripts.monitor", "scripts.replay", "scripts.catalog"),
    "workers.ticks",
)
#: Variables that are read by the interpreter and the system's libraries at their start, and not by a forked process.
AT_START: Final = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_")
#: This one is read by both.
UNBUFFERED: Final = "PYTHONUNBUFFERED"

#: Settings that a test may have set when the first command is started. No test takes the fork server for its worker.
OF_A_TEST: Final = ("CHECKOUT_", "DATABASE_URL", "REDIS_URL")


class ForkedCommand:
    """A running command, with what tests use of `subprocess.Popen`."""

    def __init__(self, args: Sequence[str], process: ForkedProcess, stdout: IO[str], stderr: IO[str] | None) -> None:
        """Take a process that was just started, and the reading sides of its outputs."""
        self.args, self.pid, self.stdout, self.stderr = list(args), process.pid, stdout, stderr
        self._process = process

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its outputs, and wait for its end."""
        for each in filter(None, (self.stdout, self.stderr)):
            each.close()
        self.wait()

    @property
    def returncode(self) -> int | None:
        """The exit code, -N for a process that signal N has ended, or None while it runs."""
        return self._process.poll()

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        self._process.send_signal(signum)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended; raise subprocess.TimeoutExpired after so many seconds."""
        return self._process.wait(timeout)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return the rest of its outputs once it has ended and no other process holds them; `timeout` as in `wait`."""
        read = {}

        def drain(stream: IO[str]) -> None:
            with stream:
                read[stream] = stream.read()

        streams = [each for each in (self.stdout, self.stderr) if each is not None]
        threads = [threading.Thread(target=drain, args=(each,), daemon=True) for each in streams]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
            if thread.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return read[self.stdout], "" if self.stderr is None else read[self.stderr]


Running = ForkedCommand | subprocess.Popen[str]


class CommandServer:
    """The process that commands are forked from, started with the first of them."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._server: ForkServer | None = None
        self._env: dict[str, str] = {}

    def get(self, env: Mapping[str, str]) -> ForkServer | None:
        """Return the fork server, or None if a process with this environment must be executed."""
        if not IS_AVAILABLE:
            return None
        if self._server is None or not self._server.is_running():
            self.close()
            self._env = {name: value for name, value in os.environ.items() if not name.startswith(OF_A_TEST)}
            self._server = ForkServer({**self._env, **mark()}, MODULES)
        return self._server if read_at_start(env) == read_at_start(self._env) else None

    def close(self) -> None:
        """End it; idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None


#: One in each process of a test run; `tests/conftest.py` closes it.
SERVER: Final = CommandServer()


def read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that only an executed process reads."""
    return {name: value for name, value in env.items() if name.startswith(AT_START) and name != UNBUFFERED}


def start(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], merged: bool = False, execute: bool = False
) -> Running:
    """Start `[sys.executable, FILE, ...]` or `[sys.executable, "-m", MODULE, ...]` without input.

    Its outputs are pipes, or one pipe with `merged`; with `execute` it is not forked.
    """
    assert execute or command[0] == sys.executable
    server = None if execute else SERVER.get(env)
    if server is None:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            text=True,
        )
    out, out_side = os.pipe()
    err, err_side = (None, os.dup(out_side)) if merged else os.pipe()
    outputs = os.fdopen(out), None if err is None else os.fdopen(err)
    try:
        with open(os.devnull, "rb") as nothing:
            files = (nothing.fileno(), out_side, err_side)
            process = server.start(["python", *command[1:]], files, env=env, cwd=str(cwd))
    except OSError:
        for each in filter(None, outputs):
            each.close()
        raise
    finally:
        os.close(out_side)
        os.close(err_side)
    return ForkedCommand(command, process, *outputs)


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float, execute: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` with `capture_output` and `text` does; see `start`."""
    process = start(command, cwd=cwd, env=env, execute=execute)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    finally:
        process.kill()
        code = process.wait(timeout)
    return subprocess.CompletedProcess(list(command), code, stdout, stderr)
