"""The faults, one method for each kind. Each returns once the cause is gone; recovery is the engine's work."""

import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import psycopg
from redis import Redis
from sqlalchemy import text

from pipeline.messaging import INTAKE, OutgoingMessage
from pipeline.operations.statistics import list_checkout_queues
from pipeline.saga import get_chain
from scripts.environments.command_errors import CommandError
from scripts.environments.fleet import read_procfile
from scripts.environments.supervisor import LONGEST_WAIT_SECONDS
from scripts.faults.listener import SeenCall
from scripts.faults.place import Place
from workers.broker.batch_broker import BatchBroker
from workers.broker.publisher import RedisSender
from workers.broker.queue_stats import NAMESPACE, QueueKeys

#: Messages that one fault changes.
FEW: Final = 200
#: Longest wait for a message that can be changed.
SEEK_SECONDS: Final = 20.0
#: Longest wait for a worker to be back: the longest back-off of its restart, and as much twice for the start of a
#: process on a busy machine.
RETURN_SECONDS: Final = 3.0 * LONGEST_WAIT_SECONDS
#: Polls of the queue, of 50 ms each, before one more buyer is allowed, so that the few kept back last.
POLLS_PER_BUYER: Final = 40

TAKE: Final = """
    local ids = redis.call("lrange", KEYS[1], 0, tonumber(ARGV[1]) - 1)
    if #ids > 0 then redis.call("ltrim", KEYS[1], #ids, -1) end
    return ids
"""
SHUFFLE: Final = """
    local ids = redis.call("lrange", KEYS[1], 0, -1)
    math.randomseed(tonumber(ARGV[1]))
    for i = #ids, 2, -1 do local j = math.random(i); ids[i], ids[j] = ids[j], ids[i] end
    redis.call("del", KEYS[1])
    for first = 1, #ids, 1000 do redis.call("rpush", KEYS[1], unpack(ids, first, math.min(first + 999, #ids))) end
    return #ids
"""


@dataclass
class FaultInjector:
    """Injects faults; `rng` chooses the processes and messages."""

    place: Place
    rng: random.Random
    broker: BatchBroker
    #: Allows one of the buyers that were kept back for this fault.
    allow_one_more: Callable[[], None]
    #: Called with every message that the engine did not send, before it is sent.
    announce: Callable[[Iterable[SeenCall]], None]

    def kill_worker(self) -> str:
        """Kill a worker, its child and its master."""
        return self._kill(self._pick_worker(), signal.SIGKILL)

    def kill_web(self) -> str:
        """Kill the HTTP edge."""
        return self._kill("web.1", signal.SIGKILL)

    def kill_scheduler(self) -> str:
        """Kill the scheduler."""
        return self._kill("scheduler.1", signal.SIGKILL)

    def freeze_worker(self) -> str:
        """Suspend one of two workers of a phase for longer than its heartbeat, then resume it."""
        twins = [name for name in self._workers() if name.endswith(".2")]
        name = self.rng.choice(twins or self._workers())
        killed = self._kill(name, signal.SIGSTOP)
        time.sleep(self.place.settings.heartbeat_seconds * 1.3)
        self.place.supervisor.kill(name, signal.SIGCONT)
        return killed

    def flush_redis(self) -> str:
        """Delete all keys of Redis."""
        with self._redis() as client:
            size = client.dbsize()
            client.flushall()
        return f"{size} keys"

    def restart_redis(self) -> str:
        """Stop Redis and start it empty."""
        self.place.valkey.stop()
        self.place.valkey.start()
        return "at once"

    def lose_redis(self) -> str:
        """Stop Redis for four times the age at which a message counts as lost: 20 s by default."""
        seconds = 4 * self.place.settings.redeliver_after_seconds
        self.place.valkey.stop()
        time.sleep(seconds)
        self.place.valkey.start()
        return f"for {seconds:g} s"

    def restart_postgres(self) -> str:
        """Crash PostgreSQL and start it."""
        self.place.stop_postgres()
        self.place.start_postgres()
        return "at once"

    def end_backends(self) -> str:
        """Terminate every connection of the engine."""
        sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'checkout.%'"
        with self._connect() as connection:
            [count] = connection.execute(sql).fetchone() or [0]
        return f"{count} connections"

    def fill_connections(self) -> str:
        """Open every connection that PostgreSQL allows, for five seconds."""
        opened = 0
        with ExitStack() as stack:
            try:
                while True:
                    stack.enter_context(self._connect())
                    opened += 1
            except psycopg.OperationalError:
                time.sleep(5)
        return f"{opened} connections"

    def duplicate_messages(self) -> str:
        """Send unasked messages for existing checkouts to three random queues each."""
        sql = text("SELECT id, now() FROM checkouts ORDER BY random() LIMIT :limit")
        with self.place.database.connect() as connection:
            rows = connection.execute(sql, {"limit": FEW}).all()
        queues = list_checkout_queues()
        messages = [OutgoingMessage(queue, id_, now) for id_, now in rows for queue in self.rng.sample(queues, 3)]
        self.announce(SeenCall(each.queue, each.subject_id) for each in messages)
        RedisSender(self.broker).send(messages)
        return f"{len(messages)} messages"

    def delay_messages(self) -> str:
        """Remove waiting messages, and put them back after they have been redelivered."""

        def take(client: Redis, keys: QueueKeys) -> list[bytes]:
            found: Any = client.eval(TAKE, 1, keys.waiting, FEW)
            return list(found)

        with self._redis() as client:
            queue, ids = self._seek(client, take)
            time.sleep(self.place.settings.redeliver_after_seconds * 1.5)
            client.rpush(QueueKeys.name(NAMESPACE, queue).waiting, *ids)
        return f"{len(ids)} of {queue}"

    def reorder_messages(self) -> str:
        """Shuffle a queue."""
        seed = self.rng.randrange(2**31)

        def shuffle(client: Redis, keys: QueueKeys) -> list[bytes]:
            found: Any = client.eval(SHUFFLE, 1, keys.waiting, seed)
            return [b""] * int(found)

        with self._redis() as client:
            queue, ids = self._seek(client, shuffle)
        return f"{len(ids)} of {queue}"

    def corrupt_messages(self) -> str:
        """Replace waiting messages with invalid ones, and add some more."""

        def corrupt(client: Redis, keys: QueueKeys) -> list[bytes]:
            found: Any = client.lrange(keys.waiting, 0, FEW // 10)
            for id_ in found:
                client.hset(keys.messages, id_, self.rng.choice((b"rubbish", b"{}", b"\xff\x00", b'{"args": [1]}')))
            return list(found)

        with self._redis() as client:
            queue, ids = self._seek(client, corrupt)
            for rubbish in (b"", b"null", b"[" * 1000, b'{"actor_name": "nobody"}'):
                extra = str(uuid4())
                client.hset(QueueKeys.name(NAMESPACE, INTAKE).messages, extra, rubbish)
                client.rpush(QueueKeys.name(NAMESPACE, INTAKE).waiting, extra)
        return f"{len(ids)} of {queue}"

    def skew_clock(self) -> str:
        """Start one more worker of a random phase, with a clock that is an hour off."""
        name, hours = self.rng.choice([phase.name for phase in get_chain()]), self.rng.choice((-1, 1))
        line = read_procfile()[name].replace(
            "workers.main:", f"scripts.faults.skewed:{'early_' if hours < 0 else 'late_'}"
        )
        self.place.supervisor.start({f"skewed_{name}_{uuid4().hex[:4]}": line})
        return f"{name}, {hours:+d} h"

    def _seek(self, client: Redis, change: Callable[[Redis, QueueKeys], list[bytes]]) -> tuple[str, list[bytes]]:
        """Suspend the workers of a phase that every checkout passes, and change the messages that wait for them."""
        # Up to the one after which a checkout without a payment waits.
        chain = get_chain()
        phase = self.rng.choice(chain[: next(each.number for each in chain if each.awaits_payment)])
        keys = QueueKeys.name(NAMESPACE, phase.queue)
        frozen = [unit for unit in self._workers() if phase.name in unit]
        for unit in frozen:
            self.place.supervisor.kill(unit, signal.SIGSTOP)
        try:
            ends_at = time.monotonic() + SEEK_SECONDS
            while time.monotonic() < ends_at:
                self.allow_one_more()
                for _ in range(POLLS_PER_BUYER):
                    if ids := change(client, keys):
                        return phase.queue, ids
                    time.sleep(0.05)
        finally:
            for unit in frozen:
                self.place.supervisor.kill(unit, signal.SIGCONT)
        raise CommandError(f"No checkout came to {phase.name}: run more checkouts.")

    def _kill(self, name: str, signum: signal.Signals) -> str:
        # A unit that was killed a moment ago is being restarted.
        ends_at = time.monotonic() + SEEK_SECONDS
        while not self.place.supervisor.kill(name, signum):
            if time.monotonic() > ends_at:
                raise CommandError(f"{name} does not run.")
            time.sleep(0.1)
        return name

    def _workers(self) -> list[str]:
        """Return the running workers. The only one may have been killed just now: it is started again in a moment."""
        ends_at = time.monotonic() + RETURN_SECONDS
        while True:
            found = sorted(name for name in self.place.supervisor.pids() if name not in {"web.1", "scheduler.1"})
            if found or time.monotonic() > ends_at:
                return found
            time.sleep(0.05)

    def _pick_worker(self) -> str:
        return self.rng.choice(self._workers())

    def _redis(self) -> Redis:
        return Redis.from_url(self.place.valkey.url)

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.place.postgres.url, autocommit=True)


#: By the names of `--faults`. `gateway` has no moment: the bank fails a share of its calls throughout the run.
FAULTS: Final[Mapping[str, Callable[[FaultInjector], str]]] = {
    "kill_worker": FaultInjector.kill_worker,
    "kill_web": FaultInjector.kill_web,
    "kill_scheduler": FaultInjector.kill_scheduler,
    "freeze_worker": FaultInjector.freeze_worker,
    "flush_redis": FaultInjector.flush_redis,
    "restart_redis": FaultInjector.restart_redis,
    "lose_redis": FaultInjector.lose_redis,
    "restart_postgres": FaultInjector.restart_postgres,
    "end_backends": FaultInjector.end_backends,
    "fill_connections": FaultInjector.fill_connections,
    "duplicate_messages": FaultInjector.duplicate_messages,
    "delay_messages": FaultInjector.delay_messages,
    "reorder_messages": FaultInjector.reorder_messages,
    "corrupt_messages": FaultInjector.corrupt_messages,
    "skew_clock": FaultInjector.skew_clock,
}
GATEWAY: Final = "gateway"
KINDS: Final = (*FAULTS, GATEWAY)
#: A worker crashes more often than a database.
WEIGHTS: Final[Mapping[str, int]] = {"kill_worker": 4}


def plan_faults(seed: int, kinds: tuple[str, ...], count: int, rounds: int) -> list[tuple[int, str]]:
    """Return pairs (after how many buyers, which fault), sorted: each kind in each round, at moments of the seed."""
    rng = random.Random(f"faults-{seed}")  # noqa: S311 (repeats a run, guards nothing)
    planned: list[str] = []
    for _ in range(rounds):
        kinds_of_round = [kind for kind in kinds if kind != GATEWAY for _ in range(WEIGHTS.get(kind, 1))]
        rng.shuffle(kinds_of_round)
        planned += kinds_of_round
    # The first 5 % warm the engine up, the last tenth is for recovery from the last fault.
    moments = sorted(int(count * (0.05 + 0.85 * rng.random())) for _ in planned)
    return list(zip(moments, planned, strict=True))
