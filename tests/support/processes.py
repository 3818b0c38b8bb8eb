"""Real processes for a test: started once, watched through PostgreSQL, and shown when an assertion fails."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from redis import Redis
from sqlalchemy import Connection, Engine, text

from pipeline.audit import audit
from pipeline.settings import Settings
from scripts.environments.ending import Ending
from scripts.environments.fleet import FleetLog, run_fleet
from scripts.environments.supervisor import Supervisor
from workers.broker.queue_stats import QueueKeys

#: Of a wait for what stays so: a poll is a statement of PostgreSQL, beside the workers that are waited for.
POLL_SECONDS: Final = 0.1
#: Of a wait for work that goes on: some hundred checkouts end in a second.
PROGRESS_POLL_SECONDS: Final = 0.03
#: Bounds of a start of all processes, and of a wait for what they do: a busy machine takes several times as long as an
#: idle one.
START_SECONDS: Final = 200
BOUND_SECONDS: Final = 150
SHOWN_LINES: Final = 40

#: Short enough for a test, long enough that a worker on a busy machine does not count as crashed. A sweep costs 25 ms
#: of processor time.
TIMES: Final[dict[str, Any]] = {
    "redeliver_after_seconds": 3,
    "redeliver_always_after_seconds": 20,
    "sweep_interval_seconds": 0.5,
    "heartbeat_seconds": 3,
    "retry_seconds": 0.1,
    "retry_cap_seconds": 1,
    "gateway_timeout_seconds": 2,
    "gateway_lease_seconds": 3,
    "batch_size": 16,
    "log_level": "warning",
}
#: Settings of the sandbox bank.
BANK_TIMES: Final[dict[str, Any]] = {"latency_seconds": 0.02}

STANDING: Final = text("""
    SELECT state, phase, due_reason, attempts, last_error, failure_code, count(*) AS checkouts
    FROM checkouts GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2
""")
SUMMARY: Final = text("""
    SELECT (SELECT count(*) FROM checkouts WHERE state = 'completed') AS completed,
           (SELECT count(*) FROM checkouts) AS checkouts,
           (SELECT count(*) FROM orders WHERE state = 'placed') AS placed,
           (SELECT count(*) FROM orders) AS orders,
           (SELECT count(*) FROM events WHERE kind = 'checkout.phase_completed') AS phases,
           (SELECT count(*) FROM sandbox.entries WHERE kind = 'authorize') AS authorized,
           (SELECT count(*) FROM sandbox.entries WHERE kind = 'capture') AS captured,
           (SELECT count(*) FROM sandbox.entries WHERE kind NOT IN ('authorize', 'capture')) AS reversed
""")


class Processes:
    """Running units of the Procfile and the database they work on."""

    def __init__(self, settings: Settings, supervisor: Supervisor, log: Path) -> None:
        """Set the running processes and their log."""
        self.settings, self.supervisor, self._log = settings, supervisor, log

    def wait_until(
        self,
        engine: Engine,
        is_so: Callable[[Connection], object],
        what: str,
        seconds: float = BOUND_SECONDS,
        *,
        every_seconds: float = POLL_SECONDS,
    ) -> None:
        """Poll until the condition holds; fail with the checkouts' positions and the last lines of the workers' log."""
        ends_at = time.monotonic() + seconds
        while True:
            with engine.connect() as connection:
                if is_so(connection):
                    return
                if time.monotonic() > ends_at:
                    standing = [tuple(row) for row in connection.execute(STANDING)]
                    raise AssertionError(
                        "\n".join((f"Not within {seconds} s: {what}", *map(str, standing), self.tail()))
                    )
            time.sleep(every_seconds)

    def wait_for_progress(self, engine: Engine, completed: int) -> int:
        """Wait until this many checkouts are completed; return how many are not."""
        done = text("SELECT count(*) FILTER (WHERE state = 'completed') >= :completed FROM checkouts")

        def is_so(connection: Connection) -> bool:
            return bool(connection.execute(done, {"completed": completed}).scalar_one())

        self.wait_until(engine, is_so, f"{completed} done", every_seconds=PROGRESS_POLL_SECONDS)
        with engine.connect() as connection:
            left = text("SELECT count(*) FROM checkouts WHERE ended_at IS NULL")
            return int(connection.execute(left).scalar_one())

    def assert_all_sold(self, engine: Engine, count: int, seconds: float = BOUND_SECONDS) -> None:
        """Wait until so many checkouts have ended; assert one completion and one charge for each, and a clean audit."""
        ended = text("SELECT count(*) = :count FROM checkouts WHERE ended_at IS NOT NULL")
        self.wait_until(engine, lambda c: c.execute(ended, {"count": count}).scalar_one(), f"{count} ended", seconds)
        with engine.connect() as connection:
            standing = [tuple(row) for row in connection.execute(STANDING)]
            summary = tuple(connection.execute(SUMMARY).one())
            connection.rollback()
            broken = audit(connection, self.settings)
        wanted = (count, count, count, count, 7 * count, count, count, 0)
        assert (summary, broken) == (wanted, []), "\n".join((*map(str, standing), self.tail()))

    def tail(self) -> str:
        """Return the last lines that the processes printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])

    def count_lines(self, part: str) -> int:
        """Return how many lines of the log contain this."""
        return sum(part in line for line in self._log.read_text(errors="replace").splitlines())


@contextmanager
def run_processes(
    settings: Settings, log: Path, lines: Mapping[str, str] | None = None, scale: Mapping[str, int] | None = None
) -> Iterator[Processes]:
    """Start the lines, all of the Procfile by default; assert afterwards that none of their processes runs."""
    output = FleetLog(log)
    try:
        with run_fleet(settings, output, Ending(), lines=lines, scale=scale, ready_seconds=START_SECONDS) as supervisor:
            yield Processes(settings, supervisor, log)
        assert find_processes(settings) == []
    finally:
        output.close()


def find_processes(settings: Settings) -> list[int]:
    """Return the processes that were started on these servers; none without /proc."""
    found = []
    marks = {
        f"DATABASE_URL={settings.database_url.get_secret_value()}".encode(),
        f"REDIS_URL={settings.redis_url.get_secret_value()}".encode(),
    }
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # it has just ended, or belongs to another account
            continue
        if marks <= set(variables) and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def push_raw(client: Redis, queue: str, body: bytes) -> str:
    """Write a message as any language can: two Redis commands, without the wake-up."""
    keys, id_ = QueueKeys.name("dramatiq", queue), str(uuid4())
    client.hset(keys.messages, id_, body)
    client.rpush(keys.waiting, id_)
    return id_


def encode_message(queue: str, *args: Any, **changes: Any) -> bytes:
    """Return the body of a message for the actor of a queue."""
    id_ = str(uuid4())
    body = {
        "queue_name": queue,
        "actor_name": queue.removeprefix("checkout."),
        "args": args,
        "kwargs": {},
        "options": {"redis_message_id": id_},
        "message_id": id_,
        "message_timestamp": int(time.time() * 1000),
    }
    return json.dumps(body | changes).encode()


def find_holders(client: Redis, queue: str) -> set[bytes]:
    """Return the sets of messages of this queue that workers have fetched and not finished."""
    return {key for key in client.scan_iter(f"dramatiq:__acks__.*.{queue}") if client.scard(key)}
