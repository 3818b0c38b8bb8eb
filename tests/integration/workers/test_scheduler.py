"""The scheduler ends with 0 on a request to end, whenever that comes after its first line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pytest

from pipeline.settings import Settings
from scripts.environments.fork_server import IS_AVAILABLE, ForkServer
from scripts.environments.reaper import mark
from scripts.environments.supervisor import ROOT, Process, build_env

#: Seconds after `scheduler.started`: at once, and while the first sweeps run.
PAUSES: Final = (0.0, 0.0, 0.0, 0.05, 0.3)
END_SECONDS: Final = 30
ARGUMENTS: Final = ("-m", "workers.scheduler")


@pytest.fixture(scope="module")
def start(run_settings: Settings) -> Iterator[Callable[[], Process]]:
    """Start a scheduler: a fork of a process that has imported it, where the system allows it."""
    environment = build_env(run_settings.model_copy(update={"sweep_interval_seconds": 0.01})) | mark()
    if IS_AVAILABLE:
        server = ForkServer(environment, ["workers.ticks"])
        yield partial(server.spawn, ["python", *ARGUMENTS])
        server.close()
    else:
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        yield partial(subprocess.Popen, [sys.executable, *ARGUMENTS], cwd=ROOT, env=environment, text=True, **output)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_0_whenever_it_is_signalled(start: Callable[[], Process], signum: signal.Signals) -> None:
    for pause in PAUSES:
        process = start()
        assert process.stdout is not None
        with process.stdout as output:
            printed = ""
            try:
                while "scheduler.started" not in printed:
                    line = output.readline()
                    assert line, f"it ended before it started: {printed}"
                    printed += line
                time.sleep(pause)
                os.kill(process.pid, signum)
                code = process.wait(END_SECONDS)
                printed += output.read()
            finally:
                if process.poll() is None:
                    os.kill(process.pid, signal.SIGKILL)
        assert (code, "Traceback" in printed) == (0, False), printed
