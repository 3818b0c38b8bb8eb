"""Listens at the queues: no message may be there before what it follows from is committed."""

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from dramatiq.errors import DecodeError
from dramatiq.message import get_encoder
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from pipeline.database import connect_engine
from pipeline.messaging import UNWIND
from pipeline.saga import get_chain
from pipeline.settings import Settings
from workers.broker.queue_stats import NAMESPACE, QueueKeys, connect_redis

#: A commit takes about a millisecond: of thousands of sends that come before theirs, looks this far apart meet some.
POLL_SECONDS: Final = 0.02
#: Looked at of each queue: this many of the newest that wait, and as many of any that wait or are worked on.
HANDFUL: Final = 8

#: KEYS: list and messages for each queue. ARGV: how many. Returns the data of messages, queue by queue.
LATEST: Final = """
local found = {}
for at = 1, #KEYS, 2 do
    local ids = redis.call("lrange", KEYS[at], -tonumber(ARGV[1]), -1)
    local datas = #ids > 0 and redis.call("hmget", KEYS[at + 1], unpack(ids)) or {}
    local others = redis.call("hrandfield", KEYS[at + 1], ARGV[1], "withvalues")
    for each = 2, #others, 2 do datas[#datas + 1] = others[each] end
    found[#found + 1] = datas
end
return found
"""

# Before phase n stands whoever has completed n - 1; who has turned back may still be named by a message of before.
EARLY: Final = text("""
    SELECT named.queue, named.id
    FROM unnest(CAST(:queues AS text[]), CAST(:ids AS uuid[]), CAST(:completed AS int[]))
        AS named (queue, id, completed)
    LEFT JOIN checkouts ON checkouts.id = named.id
    WHERE checkouts.id IS NULL
        OR (checkouts.state IN ('running', 'awaiting_payment', 'action_required')
            AND (named.queue = :unwind OR checkouts.phase < named.completed))
""")


@dataclass(frozen=True, slots=True)
class SeenCall:
    """A message as it was seen: this checkout, on this queue."""

    queue: str
    checkout_id: UUID


class Listener(threading.Thread):
    """Looks at the queues, and then at the rows, until told to stop; `early` is what was sent before its commit.

    `polls` counts those that came to an end: without any, that nothing was early says nothing.

    Sound, not complete: a send that follows its commit is never among them, one that comes before it is if a look
    falls between the two. Messages that nobody of the engine sent are to be announced before.
    """

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing heard."""
        super().__init__(name="listener", daemon=True)
        self.early: set[SeenCall] = set()
        self.polls = 0
        self._settings = settings
        self._unasked: set[SeenCall] = set()
        self._ending = threading.Event()
        self._error: Exception | None = None

    def announce(self, calls: Iterable[SeenCall]) -> None:
        """Take these for what they are when they are seen: sent by nobody of the engine."""
        self._unasked.update(calls)

    def run(self) -> None:
        """Look until told to stop; what is away is looked at again."""
        # Of its own: whoever starts PostgreSQL again closes what the others have.
        database = connect_engine(self._settings, application_name="chaos.listener", pool_size=1)
        try:
            with connect_redis(self._settings.redis_url.get_secret_value()) as client:
                while not self._ending.wait(POLL_SECONDS):
                    with suppress(RedisError, DBAPIError):
                        self.look(client, database)
        except Exception as error:  # noqa: BLE001 (raised to whoever stops it)
            self._error = error
        finally:
            database.dispose()

    def look(self, client: Redis, database: Engine) -> None:
        """Look once. Raises what Redis and PostgreSQL raise when they are away."""
        queues = [*(phase.queue for phase in get_chain()), UNWIND]
        keys = [QueueKeys.name(NAMESPACE, queue) for queue in queues]
        found: Any = client.eval(
            LATEST, 2 * len(keys), *(key for each in keys for key in (each.waiting, each.messages)), HANDFUL
        )
        calls = {
            SeenCall(queue, id_)
            for queue, datas in zip(queues, found, strict=True)
            for data in datas
            if (id_ := read_checkout_id(data)) is not None
        }
        self.early |= find_early(database, sorted(calls - self._unasked, key=str))
        self.polls += 1

    def stop(self) -> None:
        """Listen no more. Safe twice. Raises what has ended it, if anything has."""
        self._ending.set()
        if self.is_alive():
            self.join(60)
        if self._error is not None:
            raise self._error


def read_checkout_id(data: bytes | None) -> UUID | None:
    """Return whom a stored message names; None for what is gone, or was never a message."""
    try:
        return UUID(get_encoder().decode(data or b"null")["args"][0])
    except (DecodeError, AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        return None


def find_early(database: Engine, calls: Sequence[SeenCall]) -> set[SeenCall]:
    """Return those of these calls that nothing committed asks for."""
    if not calls:
        return set()
    completed = {phase.queue: phase.number - 1 for phase in get_chain()}
    named = {
        "queues": [call.queue for call in calls],
        "ids": [call.checkout_id for call in calls],
        "completed": [completed.get(call.queue) for call in calls],
        "unwind": UNWIND,
    }
    with database.connect() as connection:
        return {SeenCall(row.queue, row.id) for row in connection.execute(EARLY, named)}
