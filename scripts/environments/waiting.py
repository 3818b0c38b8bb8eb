"""Reads which checkouts have a message in Redis, waiting or in flight."""

import json
from typing import Final
from uuid import UUID

from redis.client import Redis

from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.operations.statistics import list_checkout_queues
from workers.broker.queue_stats import NAMESPACE, QueueKeys

#: Messages read in one round trip.
PAGE: Final = 1000


def read_waiting(client: Redis, namespace: str = NAMESPACE) -> frozenset[UUID]:
    """Return the checkouts and order changes that any message of any queue names.

    Raises the client's errors when Redis is down.
    """
    found: set[UUID] = set()
    for queue in (*list_checkout_queues(), ORDER_CHANGES):
        for _, body in client.hscan_iter(QueueKeys.name(namespace, queue).messages, count=PAGE):
            found.update(_named(body))
    return frozenset(found)


def _named(body: bytes) -> list[UUID]:
    # A message that cannot be read names no checkout: the consumer rejects and records it.
    try:
        return [UUID(each) for each in json.loads(body)["args"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
