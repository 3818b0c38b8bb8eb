"""Keeps processes running: each in its own process group, restarted when it ends, ended with all its descendants."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

from pydantic import SecretStr

from pipeline.gateways.installed import list_gateways, read_options
from pipeline.settings import Settings, name_variable
from scripts.environments.fork_loop import name_module
from scripts.environments.fork_server import IS_AVAILABLE, ForkServer
from scripts.environments.reaper import mark

ROOT: Final = Path(__file__).resolve().parents[2]
#: Above the ten seconds that a worker allows its running batch; then the group is ended by force.
GRACE_SECONDS: Final = 15
#: A process that ends at once is restarted with exponential back-off, which resets after this healthy time.
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 10
HEALTHY_SECONDS: Final = 30
POLL_SECONDS: Final = 0.05

Write = Callable[[str, str], None]


def build_env(settings: Settings) -> dict[str, str]:
    """Return an environment with exactly these settings, and with this Python's commands first in PATH."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CHECKOUT_")}
    env |= _build_gateway_env(settings)
    env |= {
        name_variable(Settings, name): _reveal(value)
        for name in Settings.model_fields
        if (value := getattr(settings, name)) is not None
    }
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    env["PYTHONUNBUFFERED"] = "1"
    return env


def _build_gateway_env(settings: Settings) -> dict[str, str]:
    env: dict[str, str] = {}
    for name, gateway in list_gateways().items():
        if name == settings.gateway:
            values = read_options(settings)
            env |= {name_variable(gateway, each): _reveal(values[each]) for each in values if values[each] is not None}
        else:
            # Empty, not left out: a process would read them from `.env`, and refuse to start beside another gateway.
            env |= {name_variable(gateway, secret): "" for secret in gateway.list_secrets()}
    return env


def _reveal(value: object) -> str:
    """Return the text of a variable; that of a list or a mapping is JSON, as pydantic-settings reads it."""
    match value:
        case SecretStr():
            return value.get_secret_value()
        case list() | tuple() | set() | frozenset():
            return json.dumps(list(value))
        case dict():
            return json.dumps(value)
        case _:
            return str(value)


class Process(Protocol):
    """A process that leads a group: `subprocess.Popen`, or one of a fork server."""

    @property
    def pid(self) -> int: ...
    @property
    def stdout(self) -> IO[str] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...


@dataclass
class ProcessUnit:
    """One running copy of a line."""

    command: tuple[str, ...]
    process: Process
    started_at: float
    waits: int = 0
    restart_at: float | None = None


class Supervisor:
    """Runs lines of a Procfile without a shell. A context manager: its exit stops everything."""

    def __init__(
        self,
        env: Mapping[str, str],
        write: Write,
        *,
        grace_seconds: float = GRACE_SECONDS,
        preload: Sequence[str] = (),
    ) -> None:
        """Set the processes' environment, and the function that gets each line of their output with the unit's name.

        With modules to preload, units whose command is `dramatiq` or `python -m` are forked from a process that has
        imported these once, where the system allows it.
        """
        self.restarts = 0
        self._env = dict(env)
        self._write = write
        self._grace_seconds = grace_seconds
        self._preload = tuple(preload) if IS_AVAILABLE else ()
        self._fork_server: ForkServer | None = None
        self._units: dict[str, ProcessUnit] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self, lines: Mapping[str, str], scale: Mapping[str, int] | None = None) -> None:
        """Start each line as often as `scale` says, once by default; the units are called `name.1`, `name.2` ..."""
        with self._lock:
            for name, line in lines.items():
                for number in range(1, (scale or {}).get(name, 1) + 1):
                    command = tuple(shlex.split(line))
                    self._units[f"{name}.{number}"] = ProcessUnit(
                        command, self._spawn(f"{name}.{number}", command), time.monotonic()
                    )
        if not self._watcher.is_alive():
            self._watcher.start()

    def pids(self) -> dict[str, int]:
        """Return the process id, which is also the process group, of each running unit."""
        with self._lock:
            return {name: unit.process.pid for name, unit in self._units.items() if unit.process.poll() is None}

    def kill(self, name: str, signum: signal.Signals) -> int:
        """Signal the group of a unit (`name.1`), or of all units of a line (`name`); return how many were signalled."""
        chosen = [pid for unit, pid in self.pids().items() if name in {unit, unit.rpartition(".")[0]}]
        for pid in chosen:
            _signal_group(pid, signum)
        return len(chosen)

    def terminate(self, name: str) -> None:
        """Send SIGTERM to a unit's leader alone, as a deployment does; the unit is started again."""
        with self._lock:
            self._units[name].process.terminate()

    def stop(self) -> None:
        """End every group: with SIGTERM, after the grace period by force. No process is left. Idempotent."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        with self._lock:
            # Units that wait for their restart have no group any more; another process may have its number by now.
            units = [unit for unit in self._units.values() if unit.restart_at is None]
            for unit in units:
                # Only the leader: dramatiq's master passes it on, and a child that gets it twice drops its batch.
                unit.process.terminate()
                _signal_group(unit.process.pid, signal.SIGCONT)  # a suspended process cannot handle SIGTERM
            deadline = time.monotonic() + self._grace_seconds
            for unit in units:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    unit.process.wait(max(0.0, deadline - time.monotonic()))
            for unit in units:
                # A dramatiq child outlives its master: the group is ended even when its leader has ended.
                _signal_group(unit.process.pid, signal.SIGKILL)
                unit.process.wait()
            self._units.clear()
            if self._fork_server is not None:
                self._fork_server.close()
                self._fork_server = None

    def __enter__(self) -> "Supervisor":
        """Return the supervisor."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop everything."""
        self.stop()

    def run_once(self) -> int:
        """Check every unit, restart those whose wait is over, and return how many were restarted."""
        started = 0
        with self._lock:
            for name, unit in self._units.items():
                code = unit.process.poll()
                now = time.monotonic()
                if code is None:
                    continue
                if unit.restart_at is None:
                    # Its children have no master any more; killing them is safe, a crash loses nothing.
                    _signal_group(unit.process.pid, signal.SIGKILL)
                    unit.waits = 0 if now - unit.started_at >= HEALTHY_SECONDS else unit.waits
                    wait = min(FIRST_WAIT_SECONDS * 2**unit.waits, LONGEST_WAIT_SECONDS)
                    unit.waits, unit.restart_at = unit.waits + 1, now + wait
                    self._write(name, f"ended with {code}; starting again in {wait:g} s")
                elif now >= unit.restart_at:
                    try:
                        unit.process = self._spawn(name, unit.command)
                    except OSError as error:  # the file was replaced or memory is short: like an ended process
                        unit.restart_at = now + LONGEST_WAIT_SECONDS
                        self._write(name, f"cannot be started ({error}); again in {LONGEST_WAIT_SECONDS} s")
                        continue
                    unit.started_at, unit.restart_at = now, None
                    started += 1
        self.restarts += started
        return started

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            self.run_once()

    def _spawn(self, name: str, command: tuple[str, ...]) -> Process:
        process = self._fork(command) if self._preload and name_module(command) else self._execute(command)
        threading.Thread(target=self._read, args=(name, process), name=f"output {name}", daemon=True).start()
        return process

    def _fork(self, command: tuple[str, ...]) -> Process:
        if self._fork_server is None or not self._fork_server.is_running():
            if self._fork_server is not None:
                self._fork_server.close()
            self._fork_server = ForkServer({**self._env, **mark()}, self._preload)
        return self._fork_server.spawn(command)

    def _execute(self, command: tuple[str, ...]) -> Process:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self._env, **mark()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )

    def _read(self, name: str, process: Process) -> None:
        if process.stdout is not None:
            with process.stdout:
                for line in process.stdout:
                    self._write(name, line.rstrip("\n"))


def _signal_group(group: int, signum: signal.Signals) -> None:
    """Send a signal to a whole group; ignore one that has ended. macOS answers EPERM for a group of zombies."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)
