"""A message that no actor can process is recorded and dead-lettered; the others are processed."""

import json
from typing import Any

import pytest

from tests.integration.workers.broker.workshop import ACTOR, QUEUE, Workshop, make_ids, wait_until
from workers.broker.message_validation import UnfitMessage


def _encode(*args: Any, **changes: Any) -> bytes:
    body = {"queue_name": QUEUE, "actor_name": ACTOR, "args": args, "kwargs": {}, "options": {}}
    return json.dumps(body | changes).encode()


def test_bad_members_among_good_ones_are_dead_lettered(workshop: Workshop) -> None:
    # Given bad messages among good ones
    broker = workshop.make_broker()
    recorder = workshop.record(broker)
    workshop.record(broker, queue="checkout.order_creation", actor="order_creation")
    good = make_ids(4)
    bad = [
        b"\x00\xff no message",
        _encode(good[0], actor_name="order_creation"),
        _encode(good[0], actor_name="nobody"),
        _encode(good[0], kwargs={"now": True}),
        _encode(good[0], good[1]),
        _encode("cart-7"),
    ]
    workshop.put_raw(_encode(good[0]))
    bad_ids = [workshop.put_raw(body) for body in bad[:3]]
    workshop.put_raw(_encode(good[1]))
    bad_ids += [workshop.put_raw(body) for body in bad[3:]]
    workshop.put_raw(_encode(good[2]))
    workshop.put_raw(_encode(good[3]))

    # When
    workshop.work(broker)
    wait_until(lambda: len(workshop.refused) == 6)

    # Then the good ones came in one call
    wait_until(lambda: recorder.calls == [tuple(good)])
    # ... each bad one is recorded with its reason
    assert [refusal.body for refusal in workshop.refused] == ["\ufffd\ufffd no message", *(b.decode() for b in bad[1:])]
    assert {refusal.queue for refusal in workshop.refused} == {QUEUE}
    reasons = [refusal.reason for refusal in workshop.refused]
    assert reasons[0].startswith("it is not a message: ")
    assert reasons[1:] == [
        "this queue has no actor 'order_creation'",
        "this queue has no actor 'nobody'",
        "it has keyword arguments; send one positional argument",
        "it has 2 arguments; send one",
        "its argument is not the id of a checkout",
    ]
    # ... and is dead-lettered, and nothing else is left
    wait_until(lambda: workshop.read_keys() == {f"dramatiq:{QUEUE}.XQ", f"dramatiq:{QUEUE}.XQ.msgs"})
    assert workshop.client.hgetall(f"dramatiq:{QUEUE}.XQ.msgs") == dict(zip(bad_ids, bad, strict=True))
    assert sorted(workshop.client.zrange(f"dramatiq:{QUEUE}.XQ", 0, -1)) == sorted(bad_ids)


def test_a_request_must_be_an_object(workshop: Workshop) -> None:
    # Given an actor for requests
    broker = workshop.make_broker()
    recorder = workshop.record(broker, queue="checkout.intake", actor="intake", member="request")
    for argument in ({"owner": "a"}, "text", [1], None, {}):
        body = _encode(argument, queue_name="checkout.intake", actor_name="intake")
        workshop.put_raw(body, queue="checkout.intake")

    # When
    workshop.work(broker)
    wait_until(lambda: len(workshop.refused) == 3)

    # Then
    wait_until(lambda: recorder.calls == [({"owner": "a"}, {})])
    assert {refusal.reason for refusal in workshop.refused} == {"its argument is not a JSON object"}


def test_an_id_without_a_message_is_forgotten(workshop: Workshop) -> None:
    # Given an id whose message is gone, between two good ones
    broker = workshop.make_broker()
    recorder = workshop.record(broker)
    first, last = make_ids(2)
    workshop.put_raw(_encode(first))
    workshop.client.rpush(f"dramatiq:{QUEUE}", "ghost")
    workshop.put_raw(_encode(last))

    # When
    workshop.work(broker)

    # Then
    wait_until(lambda: recorder.calls == [(first, last)])
    wait_until(lambda: workshop.read_keys() == set())
    assert workshop.refused == []


def test_a_refusal_that_cannot_be_recorded_stays_until_it_can(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a database that is away
    monkeypatch.setattr("workers.broker.batch_consumer.POSTPONE_SECONDS", 0.3)
    away = True
    tried: list[UnfitMessage] = []

    def record(refusal: UnfitMessage) -> None:
        tried.append(refusal)
        if away:
            raise ConnectionError("the database is away")
        workshop.refused.append(refusal)

    broker = workshop.make_broker(on_refused=record)
    recorder = workshop.record(broker)
    bad = [workshop.put_raw(_encode("cart-7")), workshop.put_raw(_encode("cart-8"))]
    [good] = make_ids(1)
    workshop.put_raw(_encode(good))

    # When a worker runs
    workshop.work(broker)

    # Then the other is processed, nothing is recorded or dead-lettered, and it is tried now and then, not all the time
    wait_until(lambda: recorder.calls == [(good,)])
    wait_until(lambda: len(tried) == 3)
    assert workshop.refused == []
    assert workshop.client.exists(f"dramatiq:{QUEUE}.XQ") == 0
    assert workshop.client.hlen(f"dramatiq:{QUEUE}.msgs") == 2

    # When the database is back, each is recorded once
    away = False
    wait_until(lambda: workshop.client.zcard(f"dramatiq:{QUEUE}.XQ") == 2)
    assert sorted(json.loads(refusal.body)["args"][0] for refusal in workshop.refused) == ["cart-7", "cart-8"]
    assert sorted(workshop.client.zrange(f"dramatiq:{QUEUE}.XQ", 0, -1)) == sorted(bad)
    assert len(tried) <= 7


def test_what_is_refused_while_the_worker_stops_waits_for_the_next(workshop: Workshop) -> None:
    # Given a refusal that cannot be recorded
    tried: list[UnfitMessage] = []

    def fail(refusal: UnfitMessage) -> None:
        tried.append(refusal)
        raise ConnectionError("the database is away")

    broker = workshop.make_broker(on_refused=fail)
    workshop.record(broker)
    workshop.put_raw(_encode("cart-7"))
    worker = workshop.work(broker)
    wait_until(lambda: tried)

    # When the worker stops
    worker.stop(timeout=5000)

    # Then the message waits
    assert workshop.client.llen(f"dramatiq:{QUEUE}") == 1
    assert workshop.read_keys() == {f"dramatiq:{QUEUE}", f"dramatiq:{QUEUE}.msgs"}
