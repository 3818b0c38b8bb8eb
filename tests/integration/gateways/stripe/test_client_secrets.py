"""What a buyer pays with at Stripe is told to the buyer's shop, and stands nowhere else."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from pipeline.checkouts.locks import lock_deliveries
from pipeline.operations import read_detail
from pipeline.settings import Settings
from pipeline.webhooks.outbound.payloads import write_body
from tests.conformance.stripe_subject import act_as_buyer, sign
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.local import Local
from tests.integration.gateways.stripe.purse import Purse
from tests.integration.gateways.stripe.setting import choose_stripe
from tests.support.harness import Shelf, Works
from tests.support.workbench import build_audited, take_snapshot


@pytest.fixture
def works(engine: Engine, settings: Settings, front: Front) -> Iterator[Works]:
    """The engine with Stripe, told of everything; the audit must be clean at the end."""
    with build_audited(engine, choose_stripe(settings, front.url)) as built:
        yield built


def find_tables(engine: Engine, secret: str) -> list[str]:
    """Return the tables in which a text stands."""
    return [name for name, rows in take_snapshot(engine).items() if any(secret in row for row in rows)]


def test_a_client_secret_is_with_the_payment_while_the_buyer_needs_it_and_nowhere_else(
    works: Works, shelf: Shelf, engine: Engine, local: Local, purse: Purse
) -> None:
    # Given an endpoint that is told of everything, and a buyer whose bank wants them
    shelf.run(
        "INSERT INTO webhook_endpoints (id, url, secret, kinds)"
        " VALUES (gen_random_uuid(), 'https://shop.example', 'whsec_', '{checkout.action_required}')"
    )
    shelf.add_variant("cup", stock=5, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token=purse.challenged)
    works.pump()
    reference = str(shelf.row("SELECT reference FROM payments").reference)
    intent = local.read_intent(reference)
    secret = intent["client_secret"]
    assert "_secret_" in secret
    # Then the shop has it
    assert works.status(checkout_id).action == {"type": "client_secret", "client_secret": secret}
    # When Stripe tells of the object as well
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.requires_action",
        "data": {"object": {**intent, "metadata": {"checkout_id": str(checkout_id)}}},
    }
    webhook = sign(json.dumps(event))
    assert secret.encode() in webhook.body
    works.service.receive_webhook("stripe", webhook.body, webhook.headers)
    # Then it is kept without the secret, and nobody else is told it
    assert find_tables(engine, secret) == ["payments"]
    assert shelf.rows("SELECT body LIKE '%[secret removed]%' FROM webhook_inbox") == [(True,)]
    assert shelf.rows("SELECT data FROM events WHERE kind = 'checkout.action_required'") == [
        ({"action": {"type": "client_secret"}},)
    ]
    with engine.connect() as connection:
        detail = read_detail(connection, checkout_id)
        assert detail.status.action is None
        assert secret not in repr(detail)
        ids = connection.execute(text("SELECT id FROM webhook_deliveries")).scalars().all()
        [body] = [write_body(row) for row in lock_deliveries(connection, ids, 60)]
        assert secret not in body
        assert json.loads(body)["data"]["action"] == {"type": "client_secret"}
        connection.rollback()
    # When the buyer has passed
    act_as_buyer(local, reference, approve=True)
    works.pump()
    # Then it is nowhere
    assert works.states([checkout_id]) == ["completed"]
    assert find_tables(engine, secret) == []


def test_a_secret_in_an_event_of_an_earlier_release_is_not_told(works: Works, shelf: Shelf, engine: Engine) -> None:
    shelf.run(
        "INSERT INTO webhook_endpoints (id, url, secret, kinds)"
        " VALUES (gen_random_uuid(), 'https://shop.example', 'whsec_', '{checkout.started}')"
    )
    works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    shelf.force(
        "UPDATE events SET kind = 'checkout.action_required',"
        ' data = \'{"action": {"type": "client_secret", "client_secret": "pi_1_secret_2"}}\''
        " WHERE kind = 'checkout.started'"
    )
    with engine.connect() as connection:
        ids = connection.execute(text("SELECT id FROM webhook_deliveries")).scalars().all()
        [body] = [write_body(row) for row in lock_deliveries(connection, ids, 60)]
        connection.rollback()
    assert json.loads(body)["data"]["action"] == {"type": "client_secret"}
    shelf.force("UPDATE events SET kind = 'checkout.started', data = NULL WHERE kind = 'checkout.action_required'")
