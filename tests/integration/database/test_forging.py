"""A client that writes to Redis can request what an upstream may request, and cause nothing else."""

import json
import time
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from dramatiq import Message
from sqlalchemy import Engine

from pipeline.audit import audit
from pipeline.operations.statistics import list_queues
from pipeline.saga.sweep import sweep
from pipeline.settings import Settings
from tests.integration.workers.web.stage import spin_until, work
from tests.support.harness import ADDRESS, Shelf, Works
from workers.bootstrap import Components
from workers.broker.queue_stats import QueueKeys
from workers.overview import is_idle

#: What must stay as it is, whatever is sent: each row with all that counts.
FACTS: Final = (
    "SELECT id, state, phase, fence, pivot_at, ended_at FROM checkouts ORDER BY id",
    "SELECT id, checkout_id, number, state, total_minor FROM orders ORDER BY id",
    "SELECT variant_id, on_hand, reserved FROM stock_levels ORDER BY 1",
    "SELECT id, kind, quantity FROM stock_movements ORDER BY id",
    "SELECT id, checkout_id, state, quantity FROM reservations ORDER BY id",
    "SELECT checkout_id, status, reference, attempts FROM payments ORDER BY 1",
    "SELECT checkout_id, kind, n, status, amount_minor FROM payment_operations ORDER BY 1, 2, 3",
    "SELECT id, reference, kind, amount_minor FROM sandbox.entries ORDER BY id",
    "SELECT id, kind FROM events ORDER BY id",
    "SELECT id, state FROM carts ORDER BY id",
)
RUBBISH: Final = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b'{"queue_name": 1}',
    b"[" * 5000,
    b'{"actor_name": "os.system"}',
)


@pytest.fixture
def engine_at_work(settings: Settings, works: Works) -> Iterator[Components]:
    """Every actor on threads, on a real Redis."""
    del works
    with work(settings.model_copy(update={"poll_interval_seconds": 0.1})) as running:
        yield running


def read_facts(shelf: Shelf) -> list[list[tuple[Any, ...]]]:
    return [shelf.rows(sql) for sql in FACTS]


def write(running: Components, queue: str, body: bytes) -> None:
    """Write a message, as any client of Redis can."""
    keys, id_ = QueueKeys.name(running.broker.namespace, queue), str(uuid4())
    running.broker.client.hset(keys.messages, id_, body)
    running.broker.client.rpush(keys.waiting, id_)


def make_body(queue: str, *arguments: Any, actor: str | None = None, **options: Any) -> bytes:
    name = actor or queue.removeprefix("checkout.")
    message: Message[Any] = Message(queue_name=queue, actor_name=name, args=arguments, kwargs={}, options=options)
    return message.encode()


def wait_for_silence(running: Components) -> None:
    """Return once no message waits or is in flight."""
    for _ in range(2):
        spin_until(lambda: is_idle(running.broker.client), "all is worked off")
        time.sleep(0.2)


@pytest.fixture
def standing(works: Works, shelf: Shelf) -> list[UUID]:
    """Checkouts of two owners: bought, unpaid, at the bank, cancelled."""
    shelf.add_variant("cup", stock=40, price_minor=250)
    bought = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    unpaid = works.start(shelf.add_cart(("cup", 2)), owner="shop-2")
    banked = works.start(shelf.add_cart(("cup", 3)), token="tok_action_required")
    cancelled = works.start(shelf.add_cart(("cup", 4)))
    works.pump()
    works.service.cancel(cancelled, "shop-1")
    works.pump()
    assert works.states([bought, unpaid, banked, cancelled]) == [
        "completed",
        "awaiting_payment",
        "action_required",
        "cancelled",
    ]
    return [bought, unpaid, banked, cancelled]


def test_any_id_on_any_queue_as_often_as_one_likes(
    engine_at_work: Components, standing: list[UUID], shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    before = read_facts(shelf)
    # When each id there is, and some that there are not, come on every queue, three times, with made-up options
    for queue in list_queues():
        for id_ in [*standing, uuid4(), shelf.rows("SELECT id FROM carts")[0][0]]:
            for _ in range(3):
                write(engine_at_work, queue, make_body(queue, str(id_), fence=99, phase=6, amount_minor=1))
    wait_for_silence(engine_at_work)
    # Then nothing has happened: no phase, no undo, no money, no stock
    assert read_facts(shelf) == before
    with engine.connect() as connection:
        assert audit(connection, settings) == []


def test_rubbish_on_every_queue(engine_at_work: Components, standing: list[UUID], shelf: Shelf) -> None:
    before = read_facts(shelf)
    for queue in list_queues():
        for body in (
            *RUBBISH,
            make_body(queue, actor="sweep"),
            make_body(queue),
            make_body(queue, str(standing[0]), "x"),
        ):
            write(engine_at_work, queue, body)
    wait_for_silence(engine_at_work)
    engines = engine_at_work
    sweep(engines.transactions, engines.publisher, engines.backlog, engines.settings)
    assert read_facts(shelf) == before


def test_a_writer_of_messages_may_request_what_an_upstream_may(
    engine_at_work: Components, standing: list[UUID], shelf: Shelf
) -> None:
    # Given a purchase in an owner's name, at a price of its own: what every upstream may send
    cart = {
        "id": str(uuid4()),
        "currency": "EUR",
        "lines": [{"sku": "cup", "quantity": 1}],
        "shipping_address": ADDRESS,
    }
    request = {"owner": "shop-2", "idempotency_key": "forged", "cart": cart, "payment": {"token": "tok_ok"}}
    # When it comes ten times
    for _ in range(10):
        write(engine_at_work, "checkout.intake", make_body("checkout.intake", json.loads(json.dumps(request))))
    spin_until(lambda: shelf.rows("SELECT count(*) FROM orders") == [(2,)], "the order")
    wait_for_silence(engine_at_work)
    # Then it is one order, at one charge, and nothing else has moved
    assert shelf.rows("SELECT count(*), count(DISTINCT reference) FROM sandbox.entries WHERE kind = 'capture'") == [
        (2, 2)
    ]
    assert shelf.stock("cup") == (38, 5)
    assert len(shelf.rows("SELECT id FROM checkouts")) == len(standing) + 1
