"""A webhook's whole way through real workers: HTTP, PostgreSQL, Redis, actor, retrieval, and on to the order."""

from collections.abc import Iterator
from contextlib import contextmanager

import dramatiq
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.audit import audit
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.intake import PaymentInput, StartRequest
from pipeline.settings import Settings
from tests.integration.workers.broker.workshop import wait_until
from tests.support.harness import OWNER, Shelf
from tests.support.mail import GATEWAY, PAID, read_reference, read_statuses
from tests.support.workbench import read_bank
from workers.actors import declare_actors
from workers.bootstrap import Components, build_components


@contextmanager
def run_workers(settings: Settings) -> Iterator[Components]:
    """Serve every queue in this process."""
    built = build_components(settings, "worker")
    declare_actors(built)
    worker = dramatiq.Worker(built.broker, worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        yield built
    finally:
        worker.stop(timeout=10_000)
        built.close()


def test_a_buyers_yes_reaches_the_order_through_the_queue(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", price_minor=700)
    request = StartRequest(
        owner=OWNER,
        cart_id=shelf.add_cart(("cup", 1)),
        idempotency_key="k1",
        payment=PaymentInput(token="tok_action_required"),
    )
    with run_workers(settings) as built:
        checkout_id = built.service.start(request).checkout_id
        wait_until(lambda: built.service.status(checkout_id=checkout_id).state is CheckoutState.ACTION_REQUIRED)
        bank = built.gateway
        assert isinstance(bank, SandboxGateway)
        bank.approve(read_reference(shelf, checkout_id))
        # When
        [event] = bank.events()
        built.service.receive_webhook(GATEWAY, event.body, event.headers)
        # Then, without any sweep
        wait_until(lambda: built.service.status(checkout_id=checkout_id).state is CheckoutState.COMPLETED)
        wait_until(lambda: read_statuses(shelf) == ["applied"])
    assert read_bank(engine, checkout_id) == PAID
    with engine.connect() as connection:
        assert audit(connection, settings) == []
