"""Commands that run until they are ended."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from scripts.local_servers.embedded import ROOT
from tests.support import commands


@dataclass(frozen=True)
class Lasting:
    """A command that has printed its sign; `seen` are its lines until then."""

    process: commands.Running
    seen: list[str]

    def end(self, signum: signal.Signals, *, seconds: float = 100) -> tuple[int, str]:
        """Signal it, and return its exit code with all that it has printed."""
        self.process.send_signal(signum)
        rest = self.process.communicate(timeout=seconds)[0]
        return self.process.wait(), "".join([*self.seen, rest])


@contextmanager
def run_until(
    command: Sequence[str], sign: str, environment: Mapping[str, str], *, execute: bool = True
) -> Iterator[Lasting]:
    """Start a command and yield it once a line with `sign` is printed; afterwards it does not run any more.

    With `execute` False it is forked from a process that has imported what it needs.
    """
    env = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
    with commands.start(command, cwd=ROOT, env=env, merged=True, execute=execute) as process:
        try:
            assert process.stdout is not None
            seen = []
            for line in process.stdout:
                seen.append(line)
                if sign in line:
                    break
            else:
                pytest.fail(f"{command} ended without {sign!r}: {seen}")
            yield Lasting(process, seen)
        finally:
            process.kill()
