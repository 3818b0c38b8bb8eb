"""The scheduler ends with 0 on a request to end, whenever that comes after its first line."""

import os
import signal
import subprocess
import sys
import time
from typing import Final

import pytest

from pipeline.settings import Settings
from scripts.environments.supervisor import build_env

#: Seconds after `scheduler.started`: at once, and while the first sweeps run.
PAUSES: Final = (0.0, 0.0, 0.0, 0.05, 0.3)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_0_whenever_it_is_signalled(settings: Settings, signum: signal.Signals) -> None:
    environment = {**build_env(settings.model_copy(update={"sweep_interval_seconds": 0.01})), "PYTHONUNBUFFERED": "1"}
    for pause in PAUSES:
        with subprocess.Popen(
            [sys.executable, "-m", "workers.scheduler"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                seen = []
                for line in process.stdout:
                    seen.append(line)
                    if "scheduler.started" in line:
                        break
                time.sleep(pause)
                process.send_signal(signum)
                rest = process.communicate(timeout=30)[0]
            finally:
                process.kill()
            assert (process.returncode, "Traceback" in rest) == (0, False), [*seen, rest]
