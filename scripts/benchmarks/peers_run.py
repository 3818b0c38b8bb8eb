"""The same purchases on other engines: how many a second, and how many finish when all workers are killed.

The peers (`scripts/benchmarks/peers`) are installed with the extra `peers`: nothing else needs them.
"""

import importlib
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, TextClause, text

from pipeline.saga import get_chain
from pipeline.settings import Settings
from scripts.benchmarks.runner import VARIANTS
from scripts.benchmarks.workload import fill_carts, read_makespan, start_all, stock_variants
from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ending
from scripts.environments.fleet import FleetLog, read_procfile
from scripts.environments.supervisor import Supervisor, build_env
from workers.bootstrap import Components

#: The slowest of them takes so long to start on two cores; the clock starts with the first phase's first commit.
START_SECONDS: Final = 8.0
#: Checkouts of a crash row, and the shares of all their phases after which all workers are killed.
CRASH_COUNT: Final = 400
KILL_AT: Final = (0.25, 0.5, 0.75)
#: Longest wait for the next kill, and for the end after the last one: a checkout that is not done then is stranded.
PATIENCE_SECONDS: Final = 20.0
STRANDED_SECONDS: Final = 60.0
#: A slower speed row is stuck.
ROW_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.02

DONE: Final = text("SELECT count(*) FROM checkouts WHERE state = 'completed'")
PHASES: Final = text("SELECT sum(phase) FROM checkouts")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another engine: its module, and the name of its commands in it."""

    module: str
    commands: str = "COMMANDS"


#: The engine itself, measured with the same clock.
ENGINE: Final = "engine"
PEERS: Final[Mapping[str, Peer]] = {
    "dramatiq": Peer("dramatiq_steps"),
    "celery": Peer("celery_steps"),
    "procrastinate": Peer("procrastinate_steps"),
    "dbos_steps": Peer("dbos_steps", "STEPS"),
    "dbos_tx": Peer("dbos_steps", "TRANSACTIONS"),
}


def measure_speed(
    name: str, settings: Settings, components: Components, log: FleetLog, ending: Ending, count: int
) -> float:
    """Return checkouts a second of this engine."""
    with ExitStack() as stack:
        _start(stack, name, settings, components, log, ending, count)
        ends_at = time.monotonic() + ROW_SECONDS
        while (seconds := read_makespan(components.database)) is None:
            if time.monotonic() > ends_at:
                raise CommandError(
                    f"{name} was not done after {ROW_SECONDS:.0f} s; its last lines:\n" + "\n".join(log.tail)
                )
            ending.sleep(POLL_SECONDS)
        return count / seconds


def measure_crash(
    name: str, settings: Settings, components: Components, log: FleetLog, ending: Ending
) -> tuple[int, float | None]:
    """Kill all workers three times; return how many of 400 finish, and the seconds after the last kill if all do."""
    with ExitStack() as stack:
        supervisor = _start(stack, name, settings, components, log, ending, CRASH_COUNT)
        for at in KILL_AT:
            _wait_for(components.database, PHASES, int(at * CRASH_COUNT * len(get_chain())), PATIENCE_SECONDS, ending)
            for unit in supervisor.pids():
                supervisor.kill(unit, signal.SIGKILL)
        killed_at = time.monotonic()
        done = _wait_for(components.database, DONE, CRASH_COUNT, STRANDED_SECONDS, ending)
        return done, time.monotonic() - killed_at if done == CRASH_COUNT else None


def _start(
    stack: ExitStack,
    name: str,
    settings: Settings,
    components: Components,
    log: FleetLog,
    ending: Ending,
    count: int,
) -> Supervisor:
    peer = None if name == ENGINE else _load(PEERS[name])
    stock_variants(components.database, VARIANTS, count)
    carts = fill_carts(components.database, count, VARIANTS)
    if peer is not None and hasattr(peer, "prepare"):
        peer.prepare(settings)
    supervisor = stack.enter_context(Supervisor(build_env(settings), log))
    supervisor.start(read_procfile() if peer is None else getattr(peer, PEERS[name].commands))
    ending.sleep(START_SECONDS)
    # Only now: five seconds after a checkout's start the sweep redelivers its message.
    sends = start_all(components, carts)
    if peer is None:
        components.publisher.send(sends)
    else:
        peer.send(settings, [each.subject_id for each in sends])
    return supervisor


def _load(peer: Peer) -> Any:
    try:
        return importlib.import_module(f"scripts.benchmarks.peers.{peer.module}")
    except ImportError as error:
        raise CommandError(f"{error}: install the peers with `pip install -e '.[peers]'`, or leave them out.") from None


def _wait_for(database: Engine, query: TextClause, count: int, seconds: float, ending: Ending) -> int:
    """Wait until the query returns `count`, at most so many seconds; return its last result."""
    ends_at = time.monotonic() + seconds
    while True:
        with database.connect() as connection:
            done: int = connection.execute(query).scalar_one()
        if done >= count or time.monotonic() > ends_at:
            return done
        ending.sleep(POLL_SECONDS)
