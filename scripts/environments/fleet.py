"""Real worker processes for a script: lines of the Procfile with given settings, awaited, and ended with the script.

`scratch.py` has databases of the script's own, `ending.py` the watch for Ctrl-C that both use.
"""

import shlex
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

from honcho.environ import parse_procfile

from pipeline.settings import Settings
from scripts.environments.command_errors import CommandError, open_redis
from scripts.environments.ending import Ending
from scripts.environments.scratch import explain_redis
from scripts.environments.supervisor import Supervisor, build_env
from scripts.local_servers.embedded import ROOT
from workers.broker.queue_stats import NAMESPACE, name_heartbeats

#: Eleven workers take 5 to 10 s to start on two cores, several times that on a busy machine.
READY_SECONDS: Final = 90
POLL_SECONDS: Final = 0.1
TAIL_LINES: Final = 15
#: What every worker imports: until it serves its queue, and for its first connections and calls.
PRELOADED: Final = (
    "dramatiq.cli",
    "workers.worker",
    "sqlalchemy.dialects.postgresql.psycopg",
    "pipeline.gateways.sandbox.bank",
)


class FleetLog:
    """The processes' output, each line after its unit's name: in a file, the last lines also in `tail`."""

    def __init__(self, path: Path) -> None:
        """Empty this file and write into it."""
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._lock = threading.Lock()
        self._file = path.open("w", buffering=1, errors="backslashreplace")

    def __call__(self, name: str, line: str) -> None:
        """Write one line. Output after `close` is dropped."""
        with self._lock:
            if not self._file.closed:
                self.tail.append(f"{name} | {line}")
                self._file.write(f"{self.tail[-1]}\n")

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            self._file.close()


def read_procfile(path: Path = ROOT / "Procfile", *, with_web: bool = False) -> dict[str, str]:
    """Return the commands of the Procfile by name, `web` only with `with_web`: most scripts do not use HTTP."""
    lines: dict[str, str] = dict(parse_procfile(path.read_text()).processes)
    return lines if with_web else {name: line for name, line in lines.items() if name != "web"}


@contextmanager
def run_fleet(
    settings: Settings,
    log: FleetLog,
    ending: Ending,
    *,
    lines: Mapping[str, str] | None = None,
    scale: Mapping[str, int] | None = None,
    ready_seconds: float = READY_SECONDS,
    forked: bool = True,
) -> Iterator[Supervisor]:
    """Start the lines (all of `read_procfile` by default); yield their supervisor once every worker polls its queues.

    `forked`: from one process that has imported the engine, where the system allows it; else each as in production.
    Raises CommandError with their last output when they do not start, Ended on a signal. At the end, also after an
    error, none of their processes runs.
    """
    chosen = read_procfile() if lines is None else dict(lines)
    before = _read_workers(settings)
    with Supervisor(build_env(settings), log, preload=list_modules(chosen) if forked else ()) as supervisor:
        supervisor.start(chosen, scale)
        workers = sum((scale or {}).get(name, 1) for name, line in chosen.items() if _is_worker(line))
        deadline = time.monotonic() + ready_seconds
        while _count_new_workers(settings, before) < workers:
            if time.monotonic() > deadline or supervisor.restarts > workers:
                raise CommandError("\n".join(("The workers do not start; their last lines:", *log.tail)))
            ending.sleep(POLL_SECONDS)
        yield supervisor


def _is_worker(line: str) -> bool:
    # The scheduler has no heartbeat and is not awaited: it only repairs what went wrong.
    return Path(shlex.split(line)[0]).name == "dramatiq"


def list_modules(lines: Mapping[str, str]) -> list[str]:
    """Return the modules that more than one process imports: PRELOADED, and those of the workers' brokers."""
    brokers = {shlex.split(line)[1].partition(":")[0] for line in lines.values() if _is_worker(line)}
    return [*PRELOADED, *sorted(brokers)] if brokers else []


def _count_new_workers(settings: Settings, before: set[bytes]) -> int:
    """Return how many have started; 0 while Redis does not answer.

    On a busy machine that starts them it may take over a second: it is asked again until their time is up.
    """
    try:
        return len(_read_workers(settings) - before)
    except CommandError:
        return 0


def _read_workers(settings: Settings) -> set[bytes]:
    """Return the workers that ever sent a heartbeat, one for each process; the first poll of a queue sends one."""
    with explain_redis(), open_redis(settings) as client:
        return set(cast("list[bytes]", client.zrange(name_heartbeats(NAMESPACE), 0, -1)))
