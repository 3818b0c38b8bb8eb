"""The details of a purchase at Stripe, and both kinds of tokens, through the whole engine."""

from collections.abc import Iterator
from uuid import UUID

import pytest
import stripe
from sqlalchemy import Engine

from pipeline.gateways.conformance.subject import Fault
from pipeline.gateways.gateway import Declined, Succeeded, Verb
from pipeline.gateways.stripe.gateway import StripeGateway
from pipeline.settings import Settings
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.local import KEY
from tests.integration.gateways.stripe.purse import Purse, make_call, open_intent
from tests.integration.gateways.stripe.setting import choose_stripe, run_gateway
from tests.support.harness import ADDRESS, Shelf, Works
from tests.support.workbench import build_audited, settle

FULL = ADDRESS | {"region": "LND", "postal_code": "SW1Y 4LE", "email": "ada@example.com"}
SHIPPING = {
    "name": "Ada Lovelace",
    "address": {
        "line1": "12 St James's Square",
        "city": "London",
        "state": "LND",
        "postal_code": "SW1Y 4LE",
        "country": "GB",
    },
}


@pytest.fixture
def works(engine: Engine, settings: Settings, front: Front) -> Iterator[Works]:
    """The engine with `CHECKOUT_GATEWAY=stripe`; the audit must be clean at the end."""
    with build_audited(engine, choose_stripe(settings, front.url)) as built:
        yield built


def start(works: Works, shelf: Shelf, token: str, reference: str | None = "R-1001") -> UUID:
    shelf.add_variant("cup", stock=5, price_minor=250)
    return works.start(shelf.add_cart(("cup", 2), address=FULL), token=token, reference=reference)


def retrieve_intent(front: Front, shelf: Shelf) -> stripe.PaymentIntent:
    reference = shelf.row("SELECT reference FROM payments").reference
    client = stripe.StripeClient(KEY, base_addresses={"api": front.url})
    return client.v1.payment_intents.retrieve(reference)


def test_the_intent_names_the_purchase_and_the_order_once_there_is_one(
    works: Works, shelf: Shelf, front: Front, purse: Purse
) -> None:
    # When it is authorised
    checkout_id = start(works, shelf, purse.good)
    works.pump(until="order_creation")
    # Then
    intent = retrieve_intent(front, shelf)
    assert (intent.description, intent.receipt_email) == ("Order R-1001", "ada@example.com")
    assert intent.to_dict()["shipping"] == SHIPPING
    known = {"checkout_id": str(checkout_id), "reference": "R-1001"}
    assert intent.metadata.to_dict() == known | {"operation_id": f"{checkout_id}:open:1"}
    # And when it is captured
    works.pump()
    assert works.states([checkout_id]) == ["completed"]
    (order_id,) = shelf.row("SELECT id FROM orders")
    later = known | {"operation_id": f"{checkout_id}:capture:1", "order_id": str(order_id)}
    assert retrieve_intent(front, shelf).metadata.to_dict() == later
    keys = shelf.rows("SELECT idempotency_key FROM payment_operations WHERE kind IN ('open', 'capture') ORDER BY id")
    assert keys == [(f"{checkout_id}:open:1",), (f"{checkout_id}:capture:1",)]


def test_without_a_reference_the_checkout_is_named(works: Works, shelf: Shelf, front: Front, purse: Purse) -> None:
    checkout_id = start(works, shelf, purse.good, reference=None)
    works.pump()
    intent = retrieve_intent(front, shelf)
    assert intent.description == f"Checkout {checkout_id}"
    assert "reference" not in intent.metadata.to_dict()


@pytest.mark.parametrize("verb", [Verb.OPEN, Verb.AUTHORIZE, Verb.CAPTURE])
def test_a_repeat_after_a_lost_answer_sends_the_same_body(
    works: Works, shelf: Shelf, front: Front, purse: Purse, verb: Verb
) -> None:
    # Given a call that works, and whose answers are lost, the SDK's own repeat included
    with front.bewitch(Fault.ERROR_AFTER, verb, times=2):
        checkout_id = start(works, shelf, purse.good)
        works.pump()
        # When
        settle(works, [checkout_id])
    # Then it was asked again with the same key and body, which Stripe would have refused otherwise
    assert works.states([checkout_id]) == ["completed"]
    asked = front.find(verb)
    assert len(asked) >= 3
    assert len({(each.key, tuple(each.fields.items())) for each in asked}) == 1


def test_an_order_is_paid_with_a_confirmation_token(works: Works, shelf: Shelf, front: Front, purse: Purse) -> None:
    token = front.provider.make_confirmation_token(purse.good)
    checkout_id = start(works, shelf, token)
    works.pump()
    assert works.states([checkout_id]) == ["completed"]
    [confirmed] = front.find(Verb.AUTHORIZE)
    assert confirmed.fields["confirmation_token"] == token
    assert "payment_method" not in confirmed.fields
    # The address of the order, whatever the buyer's page put into the token
    assert confirmed.fields["shipping[address][line1]"] == "12 St James's Square"
    assert retrieve_intent(front, shelf).to_dict()["shipping"] == SHIPPING


def test_a_used_confirmation_token_is_declined_and_a_new_one_pays(
    front: Front, gateway: StripeGateway, purse: Purse
) -> None:
    token = front.provider.make_confirmation_token(purse.good)
    first, second = open_intent(gateway), open_intent(gateway)
    assert isinstance(gateway.authorize(make_call(first, token=token)), Succeeded)
    assert gateway.authorize(make_call(second, token=token)) == Declined("payment_method_unknown")
    other = front.provider.make_confirmation_token(purse.good)
    assert isinstance(gateway.authorize(make_call(second, token=other)), Succeeded)


@pytest.mark.parametrize(("return_url", "uses_sdk"), [(None, "true"), ("https://shop.example/back", "false")])
def test_where_the_buyer_meets_the_bank_is_our_setting_and_not_the_tokens(
    front: Front, purse: Purse, return_url: str | None, uses_sdk: str
) -> None:
    token = front.provider.make_confirmation_token(purse.challenged)
    with run_gateway(front.url, own={"return_url": return_url}) as gateway:
        reference = open_intent(gateway)
        answer = gateway.authorize(make_call(reference, token=token))
    [confirmed] = front.find(Verb.AUTHORIZE)
    assert confirmed.fields["use_stripe_sdk"] == uses_sdk
    assert confirmed.fields.get("return_url") == return_url
    kind = "client_secret" if return_url is None else "redirect"
    assert getattr(answer, "action", {}).get("type") == kind


@pytest.mark.parametrize("token", ["tok_visa", "src_1", "card_1", " "])
def test_an_older_kind_of_token_is_declined_and_nothing_is_charged(
    works: Works, shelf: Shelf, front: Front, token: str
) -> None:
    checkout_id = start(works, shelf, token)
    works.pump()
    assert works.states([checkout_id]) == ["failed"]
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert (failure.code, failure.detail["reason"]) == ("payment_declined", "payment_method_unknown")
    assert front.find(Verb.AUTHORIZE) == []
    assert retrieve_intent(front, shelf).status == "canceled"
    assert shelf.stock("cup") == (5, 0)
    assert shelf.rows("SELECT count(*) FROM orders") == [(0,)]
