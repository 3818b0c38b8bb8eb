"""Runs commands side by side, each with its output in one piece. Standard library only, for `scripts/dev.py`."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from scripts.environments.ending import Ended, Ending
from scripts.environments.reaper import Reaper

__all__ = ["Ended", "run_side_by_side"]

#: The shortest of the commands take tenths of a second.
POLL_SECONDS: Final = 0.05
#: A command that has not ended this long after SIGTERM is killed.
GRACE_SECONDS: Final = 5


@dataclass(frozen=True)
class _Running:
    number: int
    process: subprocess.Popen[bytes]
    output: IO[bytes]


def run_side_by_side(
    commands: Sequence[Sequence[str]],
    *,
    most: int,
    show: Callable[[Sequence[str]], None],
    folder: Path,
    environment: Mapping[str, str],
) -> list[int]:
    """Run every command to its end, at most `most` at a time, in this order; return their exit codes.

    When a command ends, `show` gets it, and its output is printed. Raises Ended on SIGINT, SIGTERM or SIGHUP; then no
    command runs any more, nor a process that one of them has started.
    """
    codes = dict.fromkeys(range(len(commands)), 0)
    waiting = deque(codes)
    running: list[_Running] = []
    with Ending() as ending, _reap() as mark, contextlib.ExitStack() as files:
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    number = waiting.popleft()
                    # A file and no pipe: a command never waits for a reader.
                    output = files.enter_context(tempfile.TemporaryFile())
                    process = subprocess.Popen(
                        commands[number],
                        cwd=folder,
                        env={**environment, **mark},
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                    running.append(_Running(number, process, output))
                ending.sleep(POLL_SECONDS)
                for each in [each for each in running if each.process.poll() is not None]:
                    running.remove(each)
                    codes[each.number] = each.process.returncode
                    show(commands[each.number])
                    _print(each.output)
        finally:
            _end(running)
    return list(codes.values())


@contextlib.contextmanager
def _reap() -> Iterator[dict[str, str]]:
    """Yield the environment variable of all that is started here; at the end, even after SIGKILL, none of it runs."""
    reaper = Reaper()
    reaper.ensure_running()
    try:
        yield {reaper.name: "1"}
    finally:
        reaper.release()


def _print(output: IO[bytes]) -> None:
    sys.stdout.flush()
    output.seek(0)
    shutil.copyfileobj(output, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _end(running: Sequence[_Running]) -> None:
    for each in running:
        each.process.terminate()
    for each in running:
        try:
            each.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()
