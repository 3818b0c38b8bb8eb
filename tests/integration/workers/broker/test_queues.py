"""What the sweep and the monitor see of the queues."""

from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest
import redis
from redis.connection import Connection
from structlog.testing import capture_logs

from pipeline.messaging import OutgoingMessage
from pipeline.messaging.ports import Head
from tests.integration.workers.broker.workshop import Workshop, make_ids, wait_until
from workers.broker.publisher import RedisSender
from workers.broker.queue_stats import QueueFigures, RedisBacklog, queue_figures, read_sent_at, to_millis
from workers.broker.redis_client import connect_redis

OLDER = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
NEWER = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


def test_heads_are_the_oldest_waiting_messages(workshop: Workshop) -> None:
    # Given two messages in one queue, one that does not say when in another, none in a third
    sender = RedisSender(workshop.make_broker())
    first, second = (UUID(each) for each in make_ids(2))
    sender.send([OutgoingMessage("checkout.unwind", first, OLDER), OutgoingMessage("checkout.unwind", second, NEWER)])
    workshop.put_raw(b"{}", queue="checkout.intake")
    backlog = RedisBacklog(workshop.client)

    # When
    heads = backlog.heads(["checkout.price_lock", "checkout.unwind", "checkout.intake"])

    # Then
    assert heads == {"checkout.unwind": Head(OLDER, 2), "checkout.intake": Head(None, 1)}
    assert backlog.heads([]) == {}


def test_heads_are_unknown_while_redis_is_away(free_port: int) -> None:
    # Given no Redis
    client = connect_redis(f"redis://127.0.0.1:{free_port}/0")

    # When
    with capture_logs() as logs:
        heads = RedisBacklog(client).heads(["checkout.unwind"])

    # Then
    assert heads is None
    assert [entry["event"] for entry in logs] == ["backlog.unreachable"]


def test_figures_count_waiting_in_flight_and_dead_lettered(workshop: Workshop) -> None:
    # Given a batch of two at work, one refused message, three waiting
    broker = workshop.make_broker()
    recorder = workshop.record(broker, shut=True)
    workshop.work(broker)
    sender = RedisSender(broker)
    queue = "checkout.price_lock"
    workshop.put_raw(b"no message", queue=queue)
    wait_until(lambda: workshop.client.zcard(f"dramatiq:{queue}.XQ") == 1)
    sender.send([OutgoingMessage(queue, UUID(each), OLDER) for each in make_ids(2)])
    wait_until(lambda: recorder.sizes == [2])
    sender.send([OutgoingMessage(queue, UUID(each), NEWER) for each in make_ids(3)])

    # When
    figures = queue_figures(workshop.client, "dramatiq", [queue, "checkout.unwind"])

    # Then
    assert figures == [
        QueueFigures(queue, waiting=3, in_flight=2, dead_lettered=1, oldest_sent_at=NEWER),
        QueueFigures("checkout.unwind", waiting=0, in_flight=0, dead_lettered=0, oldest_sent_at=None),
    ]


def test_figures_of_a_redis_that_is_away_are_an_error(free_port: int) -> None:
    # When, then
    with pytest.raises(redis.ConnectionError):
        queue_figures(connect_redis(f"redis://127.0.0.1:{free_port}/0"), "dramatiq", ["checkout.unwind"])


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"options":null}',
        b'{"options":{}}',
        b'{"options":{"sent_at":"today"}}',
        b'{"options":{"sent_at":true}}',
        b'{"options":{"sent_at":1.5}}',
        b'{"options":{"sent_at":99999999999999999999}}',
        b"[" * 100_000,
    ],
    ids=range(13),
)
def test_a_message_that_does_not_say_when_it_was_sent(data: bytes | None) -> None:
    # When, then
    assert read_sent_at(data) is None


def test_milliseconds_are_rounded_down() -> None:
    # When, then
    assert to_millis(datetime(2026, 3, 1, 12, 0, 0, 123_999, tzinfo=UTC)) == to_millis(OLDER)


def test_the_client_does_not_wait_or_retry_unless_the_url_says_so() -> None:
    # When
    plain = connect_redis("redis://host/3").connection_pool.connection_kwargs
    connection = cast("Connection", connect_redis("redis://host/3").connection_pool.make_connection())
    slow = connect_redis("redis://host/3?socket_timeout=4&decode_responses=yes").connection_pool.connection_kwargs
    blocking = connect_redis("redis://host/3?socket_timeout=0.2", floor_seconds=1.5).connection_pool.connection_kwargs

    # Then
    assert (plain["socket_timeout"], plain["socket_connect_timeout"], plain["db"]) == (1, 1, 3)
    assert connection.retry.get_retries() == 0
    assert (slow["socket_timeout"], slow["decode_responses"]) == (4, False)
    assert blocking["socket_timeout"] == 1.5
