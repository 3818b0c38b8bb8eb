"""Real worker processes for a script: the lines of the Procfile, on given settings, awaited, and ended with the script.

Beside it: `scripts/environments/scratch.py` gives a database and a Redis database of the script's own, `ending.py` the
watch for Ctrl-C that both take.
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
from scripts.environments.ending import Ending
from scripts.environments.obstacles import Obstacle, open_redis
from scripts.environments.scratch import explain_redis
from scripts.environments.supervisor import Supervisor, build_env
from scripts.local_servers.embedded import ROOT
from workers.broker.queue_stats import NAMESPACE, name_heartbeats

#: Eleven workers take 5 to 10 s to start on two cores, several times that on a busy machine.
READY_SECONDS: Final = 90
POLL_SECONDS: Final = 0.1
TAIL_LINES: Final = 15


class FleetLog:
    """What the processes print, each line after its unit's name: in a file, the last lines also at hand."""

    def __init__(self, path: Path) -> None:
        """Write into this file, which is emptied."""
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._lock = threading.Lock()
        self._file = path.open("w", buffering=1, errors="backslashreplace")

    def __call__(self, name: str, line: str) -> None:
        """Write one line. What a dying process prints after `close` is dropped."""
        with self._lock:
            if not self._file.closed:
                self.tail.append(f"{name} | {line}")
                self._file.write(f"{self.tail[-1]}\n")

    def close(self) -> None:
        """Close the file. Safe twice."""
        with self._lock:
            self._file.close()


def read_procfile(path: Path = ROOT / "Procfile", *, with_web: bool = False) -> dict[str, str]:
    """Return the commands of the Procfile by name; `web` only when asked for: most scripts ask nothing over HTTP."""
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
) -> Iterator[Supervisor]:
    """Start the lines (all of `read_procfile` by default) and give their supervisor once every worker is at its queues.

    Raises Obstacle with their last lines when they do not get there, Ended when asked to end. Nothing of them runs
    after it, however it is left.
    """
    chosen = read_procfile() if lines is None else dict(lines)
    before = _read_workers(settings)
    with Supervisor(build_env(settings), log) as supervisor:
        supervisor.start(chosen, scale)
        workers = sum((scale or {}).get(name, 1) for name, line in chosen.items() if _is_worker(line))
        deadline = time.monotonic() + ready_seconds
        while len(_read_workers(settings) - before) < workers:
            if time.monotonic() > deadline or supervisor.restarts > workers:
                raise Obstacle("\n".join(("The workers do not start; their last lines:", *log.tail)))
            ending.sleep(POLL_SECONDS)
        yield supervisor


def _is_worker(line: str) -> bool:
    # The scheduler has no heartbeat. Nothing waits for it: it only repairs what went wrong.
    return Path(shlex.split(line)[0]).name == "dramatiq"


def _read_workers(settings: Settings) -> set[bytes]:
    """Return the workers that have ever beaten, one a process: its first look at a queue is its first beat."""
    with explain_redis(), open_redis(settings) as client:
        return set(cast("list[bytes]", client.zrange(name_heartbeats(NAMESPACE), 0, -1)))
