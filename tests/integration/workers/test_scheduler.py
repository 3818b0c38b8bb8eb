"""The scheduler ends with 0 on a request to end, whenever that comes after its first line."""

import signal
import sys
import time
from typing import Final

import pytest

from pipeline.settings import Settings
from scripts.environments.supervisor import build_env
from tests.support.lasting import run_until

#: Seconds after `scheduler.started`: at once, and while the first sweeps run.
PAUSES: Final = (0.0, 0.0, 0.0, 0.05, 0.3)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_0_whenever_it_is_signalled(settings: Settings, signum: signal.Signals) -> None:
    environment = build_env(settings.model_copy(update={"sweep_interval_seconds": 0.01}))
    command = [sys.executable, "-m", "workers.scheduler"]
    for number, pause in enumerate(PAUSES):
        # The first is executed, the others are forked: the same process, in a tenth of the time.
        with run_until(command, "scheduler.started", environment, execute=number == 0) as lasting:
            time.sleep(pause)
            code, printed = lasting.end(signum, seconds=30)
        assert (code, "Traceback" in printed) == (0, False), printed
