"""A test run, `up`, `demo`, `chaos` or `bench` leaves no server and no worker behind, however it is ended."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc"),
]

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 200
END_SECONDS: Final = 40
#: A look at every process of a busy machine takes 10 ms.
POLL_SECONDS: Final = 0.3

#: `scripts/dev.py` as users start it, in the current environment.
DEV: Final = (
    "import pathlib, sys; from scripts import dev; dev.prepare = lambda: None;"
    "dev.BIN = pathlib.Path(sys.executable).parent; raise SystemExit(dev.main(sys.argv[1:]))"
)
COMMANDS: Final = {
    "test": "test --workers 1 tests/acceptance/lasting_run.py",
    "up": "up --only intake,sweep --local {folder}/local",
    "demo": "demo",
    "chaos": "chaos --checkouts 50",
    # The part that prepares least before its workers start.
    "bench": "bench --only floor --rounds 1",
}
#: At least one process of each of these runs before the signal.
WANTED: Final = ("postgres -D ", "valkey", "dramatiq ")
#: Exit codes. pytest has its own for Ctrl-C and leaves SIGTERM to the system; `up` ends regularly on both.
CODES: Final = {
    ("test", signal.SIGINT): 2,
    ("test", signal.SIGTERM): -signal.SIGTERM,
    ("up", signal.SIGINT): 0,
    ("up", signal.SIGTERM): 0,
}


class Run:
    """A running command and its processes: all that have its temporary folder in the environment."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.marks: set[str] = set()

    def find(self) -> list[str]:
        """Return the name and the command line of each running process."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                environment = (place / "environ").read_bytes().decode(errors="replace")
                # A forked process has the command line of its fork server, and a name of its own.
                command = (place / "comm").read_text(errors="replace").strip() + " "
                command += (place / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:  # it ended just now
                continue
            if str(self.folder) in environment or any(each in command for each in (str(self.folder), *self.marks)):
                found.append(command)
                names = {each.partition("=")[0] for each in environment.split("\0")}
                # A reaper has the mark as its argument, not in its environment.
                self.marks |= {name for name in names - os.environ.keys() if name.startswith("REAPED_WITH_")}
        return found

    def wait_until_it_runs(self) -> None:
        """Return once servers and a worker run."""
        deadline = time.monotonic() + START_SECONDS
        while not all(any(wanted in command for command in self.find()) for wanted in WANTED):
            assert self.process.poll() is None, "it ended before its workers ran"
            assert time.monotonic() < deadline, self.find()
            time.sleep(POLL_SECONDS)

    def wait_until_nothing_is_left(self) -> None:
        """Return once every process has ended, and every folder is removed that was not to be kept."""
        deadline = time.monotonic() + END_SECONDS
        while (left := self.find()) or (left := self.list_folders()):
            assert time.monotonic() < deadline, left
            time.sleep(POLL_SECONDS)

    def list_folders(self) -> list[str]:
        """Return the folders left in the temporary folder, except those of pytest's last runs and `up`'s data."""
        names = {each.name for each in self.folder.iterdir()}
        return sorted(name for name in names if name != "local" and not name.startswith("pytest-of-"))


@contextmanager
def start(name: str) -> Iterator[Run]:
    """Start a command in its own session and temporary folder; its output is shown when a test fails."""
    with tempfile.TemporaryDirectory(prefix="n-") as place, tempfile.TemporaryFile() as output:
        folder = Path(place).resolve()
        folder.chmod(0o755)  # PostgreSQL's account must reach the data
        arguments = COMMANDS[name].format(folder=folder).split()
        process = subprocess.Popen(
            [sys.executable, "-c", DEV, *arguments],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield Run(process, folder)
        finally:
            process.kill()
            process.wait()
            output.seek(0)
            sys.stdout.write(output.read().decode(errors="replace"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_left(name: str, signum: signal.Signals) -> None:
    # Given
    with start(name) as run:
        run.wait_until_it_runs()
        assert run.marks
        # When a terminal signals the whole foreground group, or a supervisor the process
        if signum == signal.SIGINT:
            os.killpg(run.process.pid, signum)
        else:
            run.process.send_signal(signum)
        code = run.process.wait(END_SECONDS)
        # Then
        run.wait_until_nothing_is_left()
        assert code == CODES.get((name, signum), -signum if signum == signal.SIGKILL else 128 + signum)
        # A server with persistent data has shut down regularly.
        assert not (run.folder / "local" / "postgres" / "postmaster.pid").exists()
