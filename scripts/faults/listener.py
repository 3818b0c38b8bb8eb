"""Watches the queues: no message may be in a queue before the commit that it follows."""

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
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.saga import get_chain
from pipeline.settings import Settings
from workers.broker.queue_stats import NAMESPACE, QueueKeys
from workers.broker.redis_client import connect_redis

#: A commit takes about a millisecond: of thousands of early sends, polls with this interval see some.
POLL_SECONDS: Final = 0.02
#: Messages read of each queue: this many of the newest that wait, and as many random ones, waiting or in flight.
SAMPLE: Final = 8

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

# A checkout before phase n has completed n - 1; a checkout that unwinds may still have messages from before. A change
# of an order is sent when it was written, or is the next one of its order.
EARLY: Final = text("""
    SELECT named.queue, named.id
    FROM unnest(CAST(:queues AS text[]), CAST(:ids AS uuid[]), CAST(:completed AS int[]))
        AS named (queue, id, completed)
    LEFT JOIN checkouts ON checkouts.id = named.id
    LEFT JOIN order_changes ON order_changes.id = named.id
    WHERE CASE WHEN named.queue = :changes THEN order_changes.id IS NULL
          ELSE checkouts.id IS NULL
              OR (checkouts.state IN ('running', 'awaiting_payment', 'action_required')
                  AND (named.queue = :unwind OR checkouts.phase < named.completed)) END
""")


@dataclass(frozen=True, slots=True)
class SeenCall:
    """A message that was seen: this checkout, or this change of an order, on this queue."""

    queue: str
    subject_id: UUID


class Listener(threading.Thread):
    """Reads the queues, then the rows, until it is stopped; `early` has the messages sent before their commit.

    `polls` counts the completed polls: without any, an empty `early` proves nothing.

    Sound, not complete: a message sent after its commit is never in `early`; one sent before it is if a poll falls
    between the two. Messages that the engine did not send must be announced first.
    """

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing seen."""
        super().__init__(name="listener", daemon=True)
        self.early: set[SeenCall] = set()
        self.polls = 0
        self._settings = settings
        self._unasked: set[SeenCall] = set()
        self._ending = threading.Event()
        self._error: Exception | None = None

    def announce(self, calls: Iterable[SeenCall]) -> None:
        """Ignore these messages when they are seen: the engine did not send them."""
        self._unasked.update(calls)

    def run(self) -> None:
        """Poll until stopped; a server that is down is polled again."""
        # Its own pool: a restart of PostgreSQL closes the connections of the shared one.
        database = connect_engine(self._settings, application_name="chaos.listener", pool_size=1)
        try:
            with connect_redis(self._settings.redis_url.get_secret_value()) as client:
                while not self._ending.wait(POLL_SECONDS):
                    with suppress(RedisError, DBAPIError):
                        self.poll(client, database)
        except Exception as error:  # noqa: BLE001 (raised again by `stop`)
            self._error = error
        finally:
            database.dispose()

    def poll(self, client: Redis, database: Engine) -> None:
        """Poll once. Raises the errors of Redis and PostgreSQL when they are down."""
        queues = [*(phase.queue for phase in get_chain()), UNWIND, ORDER_CHANGES]
        keys = [QueueKeys.name(NAMESPACE, queue) for queue in queues]
        found: Any = client.eval(
            LATEST, 2 * len(keys), *(key for each in keys for key in (each.waiting, each.messages)), SAMPLE
        )
        calls = {
            SeenCall(queue, id_)
            for queue, datas in zip(queues, found, strict=True)
            for data in datas
            if (id_ := read_subject_id(data)) is not None
        }
        self.early |= find_early(database, sorted(calls - self._unasked, key=str))
        self.polls += 1

    def stop(self) -> None:
        """Stop polling. Idempotent. Raises the error that ended it, if any."""
        self._ending.set()
        if self.is_alive():
            self.join(60)
        if self._error is not None:
            raise self._error


def read_subject_id(data: bytes | None) -> UUID | None:
    """Return the checkout or the change that a stored message names; None for a deleted or invalid message."""
    try:
        return UUID(get_encoder().decode(data or b"null")["args"][0])
    except (DecodeError, AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        return None


def find_early(database: Engine, calls: Sequence[SeenCall]) -> set[SeenCall]:
    """Return the calls that no committed row asks for."""
    if not calls:
        return set()
    completed = {phase.queue: phase.number - 1 for phase in get_chain()}
    named = {
        "queues": [call.queue for call in calls],
        "ids": [call.subject_id for call in calls],
        "completed": [completed.get(call.queue) for call in calls],
        "unwind": UNWIND,
        "changes": ORDER_CHANGES,
    }
    with database.connect() as connection:
        return {SeenCall(row.queue, row.id) for row in connection.execute(EARLY, named)}
