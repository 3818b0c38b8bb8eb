"""Which commits wake long polls: one wake-up for each batch, after its commit, and none for what is rolled back."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from uuid import UUID

import httpx2
import pytest
from redis import Redis
from redis.client import PubSub
from sqlalchemy import Connection, text

from pipeline.checkouts.events import write_events
from tests.integration.workers.web.stage import SECONDS, Stage, put_cart, start
from workers.broker.queue_stats import NAMESPACE, name_wake_ups
from workers.broker.redis_client import connect_redis


@pytest.fixture
def client(stage: Stage) -> Iterator[Redis]:
    """A client of the test's Redis."""
    with connect_redis(stage.settings.redis_url.get_secret_value()) as found:
        yield found


@contextmanager
def listen(client: Redis) -> Iterator[PubSub]:
    """Listen to the wake-ups of this database of Redis."""
    with client.pubsub() as subscription:
        subscription.subscribe(name_wake_ups(NAMESPACE, client))
        assert subscription.get_message(timeout=SECONDS)["type"] == "subscribe"
        yield subscription


def hear(subscription: PubSub) -> list[str]:
    """Return the wake-ups until "the end"."""
    messages = (subscription.get_message(timeout=SECONDS)["data"].decode() for _ in count())
    return list(takewhile(lambda each: each != "the end", messages))


def test_a_batch_is_one_wake_up(stage: Stage, cup: httpx2.Client, client: Redis) -> None:
    # Given another listener
    ids = [UUID(start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]) for _ in range(3)]
    batch = (ids * 22)[:64]
    with listen(client) as subscription:
        # When a batch of 64 becomes stable, and as many others have events that wake no long poll

        def write(connection: Connection) -> None:
            write_events(connection, "checkout.awaiting_payment", batch)
            write_events(connection, "checkout.phase_completed", ids, phase="price_lock")

        stage.server._context.components.transactions.run(write)
        # Then
        client.publish(name_wake_ups(NAMESPACE, client), "the end")
        assert hear(subscription) == [",".join(str(each) for each in batch)]


def test_what_is_rolled_back_wakes_nobody(stage: Stage, cup: httpx2.Client, client: Redis) -> None:
    # Given
    checkout_id = UUID(start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"])
    transactions = stage.server._context.components.transactions

    def fail(connection: Connection) -> None:
        write_events(connection, "checkout.awaiting_payment", [checkout_id])
        raise ValueError("no")

    with listen(client) as subscription:
        # When
        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                transactions.run(fail)
        transactions.run(lambda connection: connection.execute(text("SELECT 1")))
        client.publish(name_wake_ups(NAMESPACE, client), "the end")
        # Then
        assert hear(subscription) == []
