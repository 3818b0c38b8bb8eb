"""What is done to the place: one function a kind. Each returns once the cause is gone; recovering is the engine's."""

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
from scripts.environments.fleet import read_procfile
from scripts.environments.obstacles import Obstacle
from scripts.faults.listener import SeenCall
from scripts.faults.place import Place
from workers.broker.batch_broker import BatchBroker
from workers.broker.publisher import RedisSender
from workers.broker.queue_stats import NAMESPACE, QueueKeys

#: Messages meddled with at once.
HANDFUL: Final = 200
#: Longest wait for a message that can be meddled with.
SEEK_SECONDS: Final = 20.0
#: Looks at the queue, of 50 ms each, before one more buyer is called: the few that were kept are to last.
POLLS_PER_CALL: Final = 40

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
class Tormentor:
    """Carries faults out; `dice` decides whom they meet."""

    place: Place
    dice: random.Random
    broker: BatchBroker
    #: Lets one more buyer come, who was kept for this fault.
    call_buyer: Callable[[], None]
    #: Told of every message that nobody has asked for, before it is sent.
    announce: Callable[[Iterable[SeenCall]], None]

    def kill_worker(self) -> str:
        """Kill a worker, child and master."""
        return self._kill(self._pick_worker(), signal.SIGKILL)

    def kill_web(self) -> str:
        """Kill the HTTP edge."""
        return self._kill("web.1", signal.SIGKILL)

    def kill_scheduler(self) -> str:
        """Kill the scheduler."""
        return self._kill("scheduler.1", signal.SIGKILL)

    def freeze_worker(self) -> str:
        """Stop one of two workers of a phase for longer than its heartbeat, and let it wake up late."""
        twins = [name for name in self._workers() if name.endswith(".2")]
        name = self.dice.choice(twins or self._workers())
        told = self._kill(name, signal.SIGSTOP)
        time.sleep(self.place.settings.heartbeat_seconds * 1.3)
        self.place.supervisor.kill(name, signal.SIGCONT)
        return told

    def flush_redis(self) -> str:
        """Empty Redis."""
        with self._redis() as client:
            size = client.dbsize()
            client.flushall()
        return f"{size} keys"

    def restart_redis(self) -> str:
        """Stop Redis and start it, empty."""
        self.place.valkey.stop()
        self.place.valkey.start()
        return "at once"

    def lose_redis(self) -> str:
        """Have no Redis for four times the bound after which a message counts as lost: 20 s by default."""
        seconds = 4 * self.place.settings.redeliver_after_seconds
        self.place.valkey.stop()
        time.sleep(seconds)
        self.place.valkey.start()
        return f"for {seconds:g} s"

    def restart_postgres(self) -> str:
        """End PostgreSQL as a crash does, and start it."""
        self.place.stop_postgres()
        self.place.start_postgres()
        return "at once"

    def end_backends(self) -> str:
        """End every connection of the engine."""
        sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'checkout.%'"
        with self._connect() as connection:
            [count] = connection.execute(sql).fetchone() or [0]
        return f"{count} connections"

    def fill_connections(self) -> str:
        """Take every connection that PostgreSQL gives, for five seconds."""
        taken = 0
        with ExitStack() as stack:
            try:
                while True:
                    stack.enter_context(self._connect())
                    taken += 1
            except psycopg.OperationalError:
                time.sleep(5)
        return f"{taken} connections"

    def duplicate_messages(self) -> str:
        """Send messages again that nobody has asked for: to the right queue, and to every other."""
        sql = text("SELECT id, now() FROM checkouts ORDER BY random() LIMIT :limit")
        with self.place.database.connect() as connection:
            rows = connection.execute(sql, {"limit": HANDFUL}).all()
        queues = list_checkout_queues()
        messages = [OutgoingMessage(queue, id_, now) for id_, now in rows for queue in self.dice.sample(queues, 3)]
        self.announce(SeenCall(each.queue, each.subject_id) for each in messages)
        RedisSender(self.broker).send(messages)
        return f"{len(messages)} messages"

    def delay_messages(self) -> str:
        """Take waiting messages away, and bring them back after they have been sent again."""

        def take(client: Redis, keys: QueueKeys) -> list[bytes]:
            found: Any = client.eval(TAKE, 1, keys.waiting, HANDFUL)
            return list(found)

        with self._redis() as client:
            queue, ids = self._seek(client, take)
            time.sleep(self.place.settings.redeliver_after_seconds * 1.5)
            client.rpush(QueueKeys.name(NAMESPACE, queue).waiting, *ids)
        return f"{len(ids)} of {queue}"

    def reorder_messages(self) -> str:
        """Shuffle a queue."""
        seed = self.dice.randrange(2**31)

        def shuffle(client: Redis, keys: QueueKeys) -> list[bytes]:
            found: Any = client.eval(SHUFFLE, 1, keys.waiting, seed)
            return [b""] * int(found)

        with self._redis() as client:
            queue, ids = self._seek(client, shuffle)
        return f"{len(ids)} of {queue}"

    def corrupt_messages(self) -> str:
        """Put rubbish in the place of waiting messages, and some more beside them."""

        def spoil(client: Redis, keys: QueueKeys) -> list[bytes]:
            found: Any = client.lrange(keys.waiting, 0, HANDFUL // 10)
            for id_ in found:
                client.hset(keys.messages, id_, self.dice.choice((b"rubbish", b"{}", b"\xff\x00", b'{"args": [1]}')))
            return list(found)

        with self._redis() as client:
            queue, ids = self._seek(client, spoil)
            for rubbish in (b"", b"null", b"[" * 1000, b'{"actor_name": "nobody"}'):
                extra = str(uuid4())
                client.hset(QueueKeys.name(NAMESPACE, INTAKE).messages, extra, rubbish)
                client.rpush(QueueKeys.name(NAMESPACE, INTAKE).waiting, extra)
        return f"{len(ids)} of {queue}"

    def skew_clock(self) -> str:
        """Put a worker of some phase beside the others whose clock is an hour off."""
        name, hours = self.dice.choice([phase.name for phase in get_chain()]), self.dice.choice((-1, 1))
        line = read_procfile()[name].replace(
            "workers.main:", f"scripts.faults.skewed:{'early_' if hours < 0 else 'late_'}"
        )
        self.place.supervisor.start({f"skewed_{name}_{uuid4().hex[:4]}": line})
        return f"{name}, {hours:+d} h"

    def _seek(self, client: Redis, meddle: Callable[[Redis, QueueKeys], list[bytes]]) -> tuple[str, list[bytes]]:
        """Have the workers of a phase that everybody passes stand still, and meddle with what piles up before them."""
        # Up to the one after which a checkout without a payment waits.
        chain = get_chain()
        phase = self.dice.choice(chain[: next(each.number for each in chain if each.awaits_payment)])
        keys = QueueKeys.name(NAMESPACE, phase.queue)
        frozen = [unit for unit in self._workers() if phase.name in unit]
        for unit in frozen:
            self.place.supervisor.kill(unit, signal.SIGSTOP)
        try:
            ends_at = time.monotonic() + SEEK_SECONDS
            while time.monotonic() < ends_at:
                self.call_buyer()
                for _ in range(POLLS_PER_CALL):
                    if ids := meddle(client, keys):
                        return phase.queue, ids
                    time.sleep(0.05)
        finally:
            for unit in frozen:
                self.place.supervisor.kill(unit, signal.SIGCONT)
        raise Obstacle(f"Nobody came to {phase.name}: give it more checkouts.")

    def _kill(self, name: str, signum: signal.Signals) -> str:
        # A unit that was killed a moment ago is on its way back.
        ends_at = time.monotonic() + SEEK_SECONDS
        while not self.place.supervisor.kill(name, signum):
            if time.monotonic() > ends_at:
                raise Obstacle(f"{name} does not run.")
            time.sleep(0.1)
        return name

    def _workers(self) -> list[str]:
        return sorted(name for name in self.place.supervisor.pids() if name not in {"web.1", "scheduler.1"})

    def _pick_worker(self) -> str:
        return self.dice.choice(self._workers())

    def _redis(self) -> Redis:
        return Redis.from_url(self.place.valkey.url)

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.place.postgres.url, autocommit=True)


#: By name, as `--faults` takes them. `gateway` is no moment: the bank fails a share of its calls throughout.
FAULTS: Final[Mapping[str, Callable[[Tormentor], str]]] = {
    "kill_worker": Tormentor.kill_worker,
    "kill_web": Tormentor.kill_web,
    "kill_scheduler": Tormentor.kill_scheduler,
    "freeze_worker": Tormentor.freeze_worker,
    "flush_redis": Tormentor.flush_redis,
    "restart_redis": Tormentor.restart_redis,
    "lose_redis": Tormentor.lose_redis,
    "restart_postgres": Tormentor.restart_postgres,
    "end_backends": Tormentor.end_backends,
    "fill_connections": Tormentor.fill_connections,
    "duplicate_messages": Tormentor.duplicate_messages,
    "delay_messages": Tormentor.delay_messages,
    "reorder_messages": Tormentor.reorder_messages,
    "corrupt_messages": Tormentor.corrupt_messages,
    "skew_clock": Tormentor.skew_clock,
}
GATEWAY: Final = "gateway"
KINDS: Final = (*FAULTS, GATEWAY)
#: A worker dies more often than a database.
WEIGHTS: Final[Mapping[str, int]] = {"kill_worker": 4}


def plan_faults(seed: int, kinds: tuple[str, ...], count: int, decks: int) -> list[tuple[int, str]]:
    """Return (after how many buyers, which fault) in order: each kind in each deck, at moments of the seed."""
    dice = random.Random(f"faults-{seed}")  # noqa: S311 (repeats a run, guards nothing)
    planned: list[str] = []
    for _ in range(decks):
        deck = [kind for kind in kinds if kind != GATEWAY for _ in range(WEIGHTS.get(kind, 1))]
        dice.shuffle(deck)
        planned += deck
    # The first tenth starts the engine warm, the last tenth is for what the last fault has left.
    moments = sorted(int(count * (0.05 + 0.85 * dice.random())) for _ in planned)
    return list(zip(moments, planned, strict=True))
