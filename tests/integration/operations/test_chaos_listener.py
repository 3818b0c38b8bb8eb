"""A listener at the queues distinguishes a message that came before its commit from every other."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import Engine

from pipeline.messaging import UNWIND, OutgoingMessage
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.orders.requests import CancelRequest
from pipeline.settings import Settings
from scripts.faults.listener import Listener, SeenCall
from scripts.faults.verification import Verdict
from tests.support.harness import OWNER, Shelf, Works
from workers.broker.batch_broker import BatchBroker
from workers.broker.publisher import RedisSender
from workers.broker.queue_stats import NAMESPACE, QueueKeys
from workers.broker.redis_client import connect_redis

VALIDATION, RESERVATION, LOCK = "checkout.cart_validation", "checkout.inventory_reservation", "checkout.price_lock"


def test_only_what_comes_before_its_commit_is_early(
    works: Works, shelf: Shelf, engine: Engine, settings: Settings, redis_url: str
) -> None:
    # Given a change of an order
    shelf.add_variant("pot", stock=1, price_minor=500)
    bought = works.start(shelf.add_cart(("pot", 1)), token="tok_ok")
    works.pump()
    order = works.status(bought).order
    assert order is not None
    change = works.orders.request(order.id, OWNER, CancelRequest(), actor="key:k", idempotency_key="k").change_id
    # ... and one that has completed a phase, one that unwinds, and one that does not exist
    shelf.add_variant("mug")
    standing, turned, unknown = (
        works.start(shelf.add_cart(("mug", 1))),
        works.start(shelf.add_cart(("gone", 1))),
        uuid4(),
    )
    works.run_phase("cart_validation")
    assert works.states([standing, turned]) == ["running", "failed"]

    # When each is named on queues before it, of it and behind it, with rubbish beside them
    asked = [(VALIDATION, standing), (RESERVATION, standing), (LOCK, turned), (UNWIND, turned), (ORDER_CHANGES, change)]
    early = [(LOCK, standing), (UNWIND, standing), (VALIDATION, unknown), (ORDER_CHANGES, unknown)]
    send(redis_url, asked + early)
    with connect_redis(redis_url) as client:
        for rubbish in (b"", b"null", b"[" * 1000, b'{"args": [1]}', b"\xff"):
            client.hset(QueueKeys.name(NAMESPACE, LOCK).messages, rubbish, rubbish)
        # Then
        listener = Listener(settings)
        listener.poll(client, engine)
        assert listener.early == {SeenCall(queue, id_) for queue, id_ in early}

        # And what was announced is none of them
        other = Listener(settings)
        other.announce([SeenCall(*early[0])])
        other.poll(client, engine)
        assert other.early == {SeenCall(queue, id_) for queue, id_ in early[1:]}
        assert hear(other) == [
            f"{queue} was sent for {id_} before the commit that it follows" for queue, id_ in sorted(early[1:])
        ]


def test_a_listener_that_never_read_has_shown_nothing(settings: Settings) -> None:
    assert hear(Listener(settings)) == ["the queues could not be read: that no message was sent too early is not shown"]


def hear(listener: Listener) -> list[str]:
    verdict = Verdict()
    verdict.add_early_messages(listener)
    assert verdict.early == len(listener.early)
    return verdict.violations


def send(redis_url: str, calls: list[tuple[str, UUID]]) -> None:
    broker = BatchBroker(url=redis_url, on_refused=lambda _: None)
    assert RedisSender(broker).send([OutgoingMessage(queue, id_, datetime.now(UTC)) for queue, id_ in calls])
    broker.close()
