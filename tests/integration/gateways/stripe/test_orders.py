"""Orders through the whole engine with Stripe as the gateway, read back through the SDK."""

from collections.abc import Iterator
from uuid import UUID

import pytest
import stripe
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.gateways.conformance.subject import Fault
from pipeline.gateways.gateway import Verb
from pipeline.gateways.stripe.gateway import StripeGateway
from pipeline.settings import Settings
from tests.conformance.stripe_subject import act_as_buyer, make_webhook
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.local import KEY, Local
from tests.integration.gateways.stripe.purse import Purse
from tests.integration.gateways.stripe.setting import choose_stripe
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import RESTING, build_audited, settle

OPERATIONS = "SELECT kind, n, status FROM payment_operations WHERE checkout_id = :id ORDER BY id"
WAITING = frozenset({CheckoutState.ACTION_REQUIRED})


@pytest.fixture
def works(engine: Engine, settings: Settings, front: Front) -> Iterator[Works]:
    """The engine with `CHECKOUT_GATEWAY=stripe`; the audit must be clean at the end."""
    with build_audited(engine, choose_stripe(settings, front.url)) as built:
        assert isinstance(built.gateway, StripeGateway)
        yield built


@pytest.fixture
def client(front: Front) -> stripe.StripeClient:
    """The SDK in its ordinary use."""
    return stripe.StripeClient(KEY, base_addresses={"api": front.url})


def start(works: Works, shelf: Shelf, token: str | None) -> UUID:
    shelf.add_variant("cup", stock=5, price_minor=250)
    return works.start(shelf.add_cart(("cup", 2)), token=token)


def find_reference(shelf: Shelf, checkout_id: UUID) -> str:
    row = shelf.row("SELECT gateway, reference FROM payments WHERE checkout_id = :id", id=checkout_id)
    assert row.gateway == "stripe"
    return str(row.reference)


def read_back(client: stripe.StripeClient, shelf: Shelf, checkout_id: UUID) -> tuple[str, int, int]:
    """Return the intent's status, and what was captured and refunded."""
    reference = find_reference(shelf, checkout_id)
    intent = client.v1.payment_intents.retrieve(reference, {"expand": ["latest_charge.refunds"]})
    assert intent.metadata["checkout_id"] == str(checkout_id)
    assert (intent.amount, intent.currency) == (500, "eur")
    charge = intent.latest_charge
    returned = charge.amount_refunded if isinstance(charge, stripe.Charge) else 0
    return intent.status, intent.amount_received, returned


def deliver(works: Works, reference: str, checkout_id: UUID) -> None:
    webhook = make_webhook(reference, checkout_id)
    works.service.receive_webhook("stripe", webhook.body, webhook.headers)
    works.pump()


def test_an_order_is_paid(works: Works, shelf: Shelf, client: stripe.StripeClient, front: Front, purse: Purse) -> None:
    # When
    checkout_id = start(works, shelf, purse.good)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert read_back(client, shelf, checkout_id) == ("succeeded", 500, 0)
    assert shelf.rows(OPERATIONS, id=checkout_id) == [
        ("open", 1, "succeeded"),
        ("authorize", 1, "succeeded"),
        ("capture", 1, "succeeded"),
    ]
    assert shelf.row("SELECT state, total_minor FROM orders") == ("placed", 500)
    assert shelf.stock("cup") == (3, 0)
    # The keys are those that were written down first.
    keys = shelf.rows("SELECT idempotency_key FROM payment_operations ORDER BY id")
    assert [(each.key,) for each in front.seen if each.key is not None] == keys


def test_an_order_is_cancelled(works: Works, shelf: Shelf, client: stripe.StripeClient, purse: Purse) -> None:
    # Given one that is authorised
    checkout_id = start(works, shelf, purse.good)
    works.pump(until="order_creation")
    assert read_back(client, shelf, checkout_id) == ("requires_capture", 0, 0)
    # When
    works.service.cancel(checkout_id, OWNER)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["cancelled"]
    assert read_back(client, shelf, checkout_id) == ("canceled", 0, 0)
    assert shelf.rows(OPERATIONS, id=checkout_id)[-1] == ("void", 1, "succeeded")
    assert shelf.stock("cup") == (5, 0)
    assert shelf.rows("SELECT state FROM carts") == [("open",)]


def test_an_order_is_refunded(works: Works, shelf: Shelf, client: stripe.StripeClient, purse: Purse) -> None:
    # Given one that was captured in the Dashboard before its order was written
    checkout_id = start(works, shelf, purse.good)
    works.pump(until="order_creation")
    client.v1.payment_intents.capture(find_reference(shelf, checkout_id), {"amount_to_capture": 500})
    # When it is cancelled
    works.service.cancel(checkout_id, OWNER)
    works.pump()
    # Then Stripe refuses to cancel what was captured, and it is refunded
    assert settle(works, [checkout_id]) == ["cancelled"]
    assert read_back(client, shelf, checkout_id) == ("succeeded", 500, 500)
    assert shelf.rows(OPERATIONS, id=checkout_id)[-2:] == [("void", 1, "declined"), ("refund", 1, "succeeded")]
    assert shelf.row("SELECT status FROM payments") == ("refunded",)
    assert shelf.stock("cup") == (5, 0)


def test_a_declined_card_leaves_the_order_to_another(
    works: Works, shelf: Shelf, client: stripe.StripeClient, purse: Purse
) -> None:
    # Given
    checkout_id = start(works, shelf, None)
    works.pump()
    # When
    works.pay(checkout_id, purse.declined)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["awaiting_payment"]
    reference = find_reference(shelf, checkout_id)
    # When
    works.pay(checkout_id, purse.good)
    works.pump()
    # Then the same intent was paid
    assert works.states([checkout_id]) == ["completed"]
    assert find_reference(shelf, checkout_id) == reference
    assert read_back(client, shelf, checkout_id) == ("succeeded", 500, 0)


def test_a_buyer_passes_the_challenge_and_the_webhook_brings_the_order(
    works: Works, shelf: Shelf, client: stripe.StripeClient, local: Local, purse: Purse
) -> None:
    # Given
    checkout_id = start(works, shelf, purse.challenged)
    works.pump()
    reference = find_reference(shelf, checkout_id)
    assert works.states([checkout_id]) == ["action_required"]
    secret = local.read_intent(reference)["client_secret"]
    assert works.status(checkout_id).action == {"type": "client_secret", "client_secret": secret}
    # When
    act_as_buyer(local, reference, approve=True)
    deliver(works, reference, checkout_id)
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert read_back(client, shelf, checkout_id) == ("succeeded", 500, 0)


def test_a_buyer_fails_the_challenge_and_the_webhook_ends_the_checkout(
    works: Works, shelf: Shelf, client: stripe.StripeClient, local: Local, purse: Purse
) -> None:
    # Given
    checkout_id = start(works, shelf, purse.challenged)
    assert settle(works, [checkout_id], until=WAITING) == ["action_required"]
    reference = find_reference(shelf, checkout_id)
    # When
    act_as_buyer(local, reference, approve=False)
    deliver(works, reference, checkout_id)
    # Then
    assert settle(works, [checkout_id]) == ["failed"]
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert failure.code == "payment_declined"
    assert failure.detail["reason"] == "payment_intent_authentication_failure"
    assert read_back(client, shelf, checkout_id) == ("canceled", 0, 0)


@pytest.mark.parametrize("verb", [Verb.OPEN, Verb.AUTHORIZE, Verb.CAPTURE])
@pytest.mark.parametrize("fault", [Fault.BROKEN_BEFORE, Fault.BROKEN_AFTER])
def test_lost_answers_end_in_one_charge(
    works: Works, shelf: Shelf, client: stripe.StripeClient, front: Front, purse: Purse, verb: Verb, fault: Fault
) -> None:
    # Given answers that are lost, to the SDK's own repeat as well
    with front.bewitch(fault, verb, times=2):
        checkout_id = start(works, shelf, purse.good)
        works.pump()
        assert works.states([checkout_id]) == ["running"]
        # When
        assert settle(works, [checkout_id], until=RESTING) == ["completed"]
    # Then all of them had one key, and there is one intent
    assert len({each.key for each in front.find(verb)}) == 1
    assert len(front.find(verb)) == 3
    assert read_back(client, shelf, checkout_id) == ("succeeded", 500, 0)
    listed = client.v1.payment_intents.list({"limit": 100}).auto_paging_iter()
    assert sum(each.metadata.to_dict().get("checkout_id") == str(checkout_id) for each in listed) == 1
