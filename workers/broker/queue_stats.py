"""The queues in Redis: the names of their keys, their heads, and their figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import redis
import structlog
from dramatiq.errors import DecodeError
from dramatiq.message import get_encoder
from redis.exceptions import RedisError

from pipeline.messaging.ports import Head
from workers.broker.lua_scripts import FIGURES, HEADS

log = structlog.get_logger(__name__)

NAMESPACE: Final = "dramatiq"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of one queue. All but `wake` are dramatiq's."""

    waiting: str
    messages: str
    dead_lettered: str
    dead_lettered_messages: str
    wake: str

    @classmethod
    def name(cls, namespace: str, queue: str) -> "QueueKeys":
        """Return the keys of `queue`."""
        key = f"{namespace}:{queue}"
        return cls(key, f"{key}.msgs", f"{key}.XQ", f"{key}.XQ.msgs", f"{key}.wake")


def name_heartbeats(namespace: str) -> str:
    """Return the key of the sorted set of workers by their last heartbeat."""
    return f"{namespace}:__heartbeats__"


def name_acks(namespace: str, worker: str, queue: str) -> str:
    """Return the key of the set of messages that a worker has fetched from a queue and not finished."""
    return f"{namespace}:__acks__.{worker}.{queue}"


def name_wake_ups(namespace: str, client: redis.Redis) -> str:
    """Return the channel of the long polls' wake-ups. Channels are those of a server, not of one of its databases."""
    return f"{namespace}.{client.connection_pool.connection_kwargs.get('db', 0)}:wake_ups"


def to_millis(moment: datetime) -> int:
    """Return milliseconds since 1970, rounded down."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def read_sent_at(data: bytes | None) -> datetime | None:
    """Return when a message was sent, by the database's clock, or None if it does not say."""
    try:
        millis = get_encoder().decode(data or b"null")["options"]["sent_at"]
        if type(millis) is not int:
            return None
        return EPOCH + timedelta(milliseconds=millis)
    except (DecodeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def read_heads(client: redis.Redis, namespace: str, queues: Sequence[str]) -> dict[str, Head]:
    """Return the oldest waiting message of each queue that has one, in one round trip."""
    keys = [QueueKeys.name(namespace, queue) for queue in queues]
    replies = client.eval(HEADS, 2 * len(keys), *(key for each in keys for key in (each.waiting, each.messages)))
    return {
        queue: Head(sent_at=read_sent_at(data), waiting=waiting)
        for queue, (message, data, waiting) in zip(queues, replies, strict=True)
        if message is not None
    }


class RedisBacklog:
    """Reads the queues for the sweep."""

    def __init__(self, client: redis.Redis, *, namespace: str = NAMESPACE) -> None:
        """Read with this client."""
        self._client = client
        self._namespace = namespace

    def heads(self, queues: Sequence[str]) -> Mapping[str, Head] | None:
        """Return the head of each queue that is not empty, or None when the broker cannot be reached."""
        try:
            return read_heads(self._client, self._namespace, queues)
        except (RedisError, OSError) as error:
            log.warning("backlog.unreachable", error=repr(error))
            return None


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One queue: messages waiting, in flight, dead-lettered, and when the oldest waiting one was sent."""

    queue: str
    waiting: int
    in_flight: int
    dead_lettered: int
    oldest_sent_at: datetime | None


def queue_figures(client: redis.Redis, namespace: str, queues: Sequence[str]) -> list[QueueFigures]:
    """Return the figures of these queues. Raises what the client raises when Redis is away."""
    keys = [QueueKeys.name(namespace, queue) for queue in queues]
    heads = read_heads(client, namespace, queues)
    replies = client.eval(
        FIGURES,
        1 + 2 * len(keys),
        name_heartbeats(namespace),
        *(key for each in keys for key in (each.waiting, each.dead_lettered)),
        name_acks(namespace, "", "").removesuffix("."),
        *queues,
    )
    return [
        QueueFigures(queue, waiting, in_flight, dead_lettered, heads[queue].sent_at if queue in heads else None)
        for queue, (waiting, dead_lettered, in_flight) in zip(queues, replies, strict=True)
    ]
