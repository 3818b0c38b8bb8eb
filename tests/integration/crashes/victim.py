"""`python -m tests.integration.crashes.victim`: forks a process for each line it reads, and reports how it died.

The one that forks has imported everything and holds nothing: no connection, no thread. A scene that nothing cuts short
it plays itself, and so knows all statements of those that follow. So a run costs milliseconds.
"""

import json
import os
import sys
import threading
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import structlog
from sqlalchemy import Engine

from pipeline.database import connect_engine
from pipeline.messaging import OutgoingMessage
from pipeline.payments import gateway_calls as calls
from pipeline.settings import Settings
from tests.integration.crashes.breaks import BREAKS
from tests.integration.crashes.points import Point, Trace, TracingWorks
from tests.integration.crashes.scenes import ALL
from tests.support.harness import Shelf


def live(order: dict[str, Any], engine: Engine, settings: Settings) -> dict[str, Any]:
    """Play a scene to its end, or to where it is cut short; return what was passed by."""
    if order["broken"] is not None:
        BREAKS[order["broken"]]()
    trace = Trace()
    works = TracingWorks(engine, settings, trace)
    try:
        ids = [UUID(each) for each in order["ids"]]
        works.line.send(
            [OutgoingMessage(queue, UUID(id_), datetime.fromisoformat(at)) for queue, id_, at in order["waiting"]]
        )
        trace.begin(None if order["point"] is None else Point(*order["point"]))
        ALL[order["scene"]].act(works, Shelf(engine), ids)
    finally:
        works.close()
        engine.dispose()
    points = [[each.where, each.what, each.nth] for each in trace.points]
    return {"points": points, "objections": trace.objections}


def die(order: dict[str, Any], engine: Engine, settings: Settings, answer: int) -> NoReturn:
    """Play a scene in a process of its own, and write what was passed by."""
    try:
        told = live(order, engine, settings)
        with os.fdopen(answer, "w") as pipe:
            json.dump(told, pipe)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 (whatever it was is told, and nothing of it runs on)
        sys.stderr.write(f"{error!r}\n")
        sys.stderr.flush()
        os._exit(3)


def fork(order: dict[str, Any], engine: Engine, settings: Settings) -> dict[str, Any]:
    """Have a new process play a scene; return its exit code, and what it passed by unless it was killed."""
    assert threading.active_count() == 1
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        die(order, engine, settings, write)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    return {"code": os.waitstatus_to_exitcode(status), **json.loads(told or "{}")}


def main() -> None:
    """Answer each line."""
    structlog.configure(
        # The errors that broken builds provoke are logged in one line: rich tracebacks cost seconds each.
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer(key_order=["event"])],
        # What is printed to the standard output is read as an answer.
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # All answers of a batch are written together: so that a scene passes by the same boundaries each time.
    calls.GATHER_SECONDS = 1.0  # type: ignore[misc]
    engine: Engine | None = None
    for line in sys.stdin:
        order = json.loads(line)
        settings = Settings.model_validate(order["settings"])
        engine = engine or connect_engine(settings, application_name="victim", pool_size=3)
        if order["point"] is None and order["broken"] is None:
            told = {"code": 0, **live(order, engine, settings)}
        else:
            told = fork(order, engine, settings)
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
