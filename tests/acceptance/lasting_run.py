"""A test run that lasts until it is ended, with servers, a worker and a scheduler.

`test_ending.py` starts it by its name, which no collection finds.
"""

import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest
from pydantic import SecretStr

from pipeline.settings import Settings
from tests.support.processes import TIMES, Processes, run_processes

#: Longer than the start and the end of a run take, by the bounds of `test_ending.py`.
LONGEST_SECONDS: Final = 300


@pytest.fixture(scope="module")
def processes(database_url: str, redis_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Two lines of a Procfile."""
    urls: dict[str, Any] = {"database_url": SecretStr(database_url), "redis_url": SecretStr(redis_database)}
    settings = Settings(_env_file=None, gateway="sandbox", **urls, **TIMES)
    lines = {
        "sweep": "dramatiq workers.main:build_broker -p 1 -t 2 -Q checkout.sweep --worker-shutdown-timeout 10000",
        "scheduler": "python -m workers.scheduler",
    }
    with run_processes(settings, tmp_path_factory.mktemp("fleet") / "log", lines) as running:
        yield running


def test_it_lasts(processes: Processes) -> None:
    assert not threading.Event().wait(LONGEST_SECONDS), processes.tail()
