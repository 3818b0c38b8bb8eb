"""`python -m tests.integration.crashes.victim`: forks a process for each line it reads, and reports how it died.

The one that forks has imported everything and holds nothing: no connection, no thread. So a run costs milliseconds.
"""

import json
import os
import sys
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from pipeline.database import connect_engine
from pipeline.messaging import OutgoingMessage
from pipeline.payments import gateway_calls as calls
from pipeline.settings import Settings
from tests.integration.crashes.breaks import BREAKS
from tests.integration.crashes.points import Point, Trace, TracingWorks
from tests.integration.crashes.scenes import SCENES
from tests.support.harness import Shelf


def live(order: dict[str, Any], answer: int) -> None:
    """Play a scene to its end, or to where it is cut short; write what was passed by."""
    # All answers of a batch are written together: so that a scene passes by the same boundaries each time.
    calls.GATHER_SECONDS = 1.0  # type: ignore[misc]
    if order["broken"] is not None:
        BREAKS[order["broken"]]()
    settings = Settings.model_validate(order["settings"])
    trace = Trace()
    engine = connect_engine(settings, application_name="victim", pool_size=3)
    works = TracingWorks(engine, settings, trace)
    ids = [UUID(each) for each in order["ids"]]
    works.line.send(
        [OutgoingMessage(queue, UUID(id_), datetime.fromisoformat(at)) for queue, id_, at in order["waiting"]]
    )
    trace.begin(None if order["point"] is None else Point(*order["point"]))
    SCENES[order["scene"]].act(works, Shelf(engine), ids)
    points = [[each.where, each.what, each.nth] for each in trace.points]
    with os.fdopen(answer, "w") as pipe:
        json.dump({"points": points, "objections": trace.objections}, pipe)
    os._exit(0)


def main() -> None:
    """Answer each line."""
    structlog.configure(
        # The errors that broken builds provoke are logged in one line: rich tracebacks cost seconds each.
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer(key_order=["event"])],
        # What is printed to the standard output is read as an answer.
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for line in sys.stdin:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            try:
                live(json.loads(line), write)
            except BaseException as error:  # noqa: BLE001 (whatever it was is told, and nothing of it runs on)
                sys.stderr.write(f"{error!r}\n")
                sys.stderr.flush()
                os._exit(3)
        os.close(write)
        with os.fdopen(read) as pipe:
            told = pipe.read()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(json.dumps({"code": os.waitstatus_to_exitcode(status), **json.loads(told or "{}")}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
