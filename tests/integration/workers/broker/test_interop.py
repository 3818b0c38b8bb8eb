"""dramatiq's own broker, or no library at all, may stand on the other side."""

import json

from dramatiq.brokers.redis import RedisBroker

from tests.integration.workers.broker.workshop import ACTOR, Workshop, make_ids, wait_until


def _make_stock_broker(workshop: Workshop) -> RedisBroker:
    return RedisBroker(url=workshop.url, middleware=[])


def test_a_stock_producer_feeds_our_worker(workshop: Workshop) -> None:
    # Given
    stock = _make_stock_broker(workshop)
    workshop.record(stock)
    broker = workshop.make_broker()
    recorder = workshop.record(broker)
    ids = make_ids(3)

    # When
    for each in ids:
        stock.get_actor(ACTOR).send(each)
    workshop.work(broker)

    # Then
    wait_until(lambda: recorder.seen == ids)
    wait_until(lambda: workshop.read_keys() == set())
    stock.client.close()


def test_our_producer_feeds_a_stock_worker(workshop: Workshop) -> None:
    # Given
    stock = _make_stock_broker(workshop)
    recorder = workshop.record(stock)
    broker = workshop.make_broker()
    ids = make_ids(3)

    # When
    workshop.send(broker, ids)
    workshop.work(stock)

    # Then
    wait_until(lambda: sorted(recorder.seen) == sorted(ids))
    assert recorder.sizes == [1, 1, 1]
    wait_until(lambda: workshop.read_keys() == set())
    stock.client.close()


def test_two_redis_commands_of_any_language_feed_our_worker(workshop: Workshop) -> None:
    # Given
    broker = workshop.make_broker()
    recorder = workshop.record(broker, queue="checkout.intake", actor="intake", member="request")
    request = {"owner": "buyer-7", "cart_id": make_ids(1)[0]}
    body = {"queue_name": "checkout.intake", "actor_name": "intake", "args": [request], "kwargs": {}, "options": {}}

    # When
    workshop.put_raw(json.dumps(body).encode(), queue="checkout.intake")
    workshop.work(broker)

    # Then
    wait_until(lambda: recorder.calls == [(request,)])
    wait_until(lambda: workshop.read_keys() == set())
