"""A move in a process of its own, which kills itself when a step has ended: STEP SOURCE_URL TARGET_URL."""

import os
import signal
import sys

from pydantic import SecretStr

from pipeline.database import connect_engine
from pipeline.operations.cells import Moving, move_owner, removal
from pipeline.settings import Settings
from tests.integration.operations.cells.two_cells import MOVER, make_settings

if __name__ == "__main__":
    wanted, source_url, target_url = sys.argv[1:]
    base = Settings(
        _env_file=None, gateway="sandbox", database_url=SecretStr(source_url), redis_url=SecretStr("redis://nowhere")
    )
    bank_url = os.environ["BANK_URL"]
    source, target = (make_settings(base, url, bank_url, cell) for url, cell in ((source_url, "a"), (target_url, "b")))
    removal.CHECKOUTS = 2  # type: ignore[misc]

    def end(step: str) -> None:
        """Kill this process at the chosen step."""
        if step == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    engines = [connect_engine(each, application_name="move", statement_timeout_seconds=0) for each in (source, target)]
    move_owner(Moving(MOVER, "b", engines[0], engines[1], source, target, 0, end))
