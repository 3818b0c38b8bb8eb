"""Stripe's own ledger through the adapter: every intent once, and no partial list as a complete one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from models.money import Money
from models.states import PaymentStatus
from pipeline.errors import Code, Unavailable
from pipeline.gateways.gateway import Held, Succeeded
from pipeline.gateways.stripe import ledger
from pipeline.gateways.stripe.gateway import StripeGateway
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.local import Local, Reply, run_local
from tests.integration.gateways.stripe.provider import refuse
from tests.integration.gateways.stripe.purse import make_call

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    """A process that is emptied for each test."""
    with run_local() as started:
        yield started


@pytest.fixture(autouse=True)
def empty(local: Local) -> None:
    """No intents but this test's own."""
    local.empty()


def list_all(gateway: StripeGateway) -> list[Held]:
    return list(gateway.list_held(datetime.now(UTC) - HOUR))


def buy(gateway: StripeGateway, token: str, *verbs: str) -> tuple[UUID, str]:
    checkout_id = uuid4()
    opened = gateway.open(make_call(checkout_id=checkout_id))
    assert isinstance(opened, Succeeded)
    for verb in verbs:
        getattr(gateway, verb)(make_call(opened.reference, token=token, checkout_id=checkout_id))
    return checkout_id, opened.reference


def test_each_intent_shows_what_it_holds(gateway: StripeGateway, local: Local) -> None:
    # Given
    card, challenged = local.make_card("4242424242424242"), local.make_card("4000002500003155")
    opened = buy(gateway, card)
    asked = buy(gateway, challenged, "authorize")
    held = buy(gateway, card, "authorize")
    captured = buy(gateway, card, "authorize", "capture")
    returned = buy(gateway, card, "authorize", "capture", "refund")
    let_go = buy(gateway, card, "authorize", "cancel")
    # When
    found = {each.reference: each for each in list_all(gateway)}
    # Then
    expected = {
        opened: (PaymentStatus.OPEN, 0, 0),
        asked: (PaymentStatus.ACTION_REQUIRED, 0, 0),
        held: (PaymentStatus.AUTHORIZED, 0, 0),
        captured: (PaymentStatus.CAPTURED, 1000, 0),
        returned: (PaymentStatus.REFUNDED, 1000, 1000),
        let_go: (PaymentStatus.CANCELLED, 0, 0),
    }
    assert len(found) == len(expected)
    for (checkout_id, reference), figures in expected.items():
        each = found[reference]
        assert (each.checkout_id, each.amount) == (checkout_id, Money(1000, "EUR"))
        assert (each.status, each.captured_minor, each.refunded_minor) == figures
        assert abs(each.created_at - datetime.now(UTC)) < HOUR


def test_pages_are_followed_to_the_end(gateway: StripeGateway, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    references = {buy(gateway, "")[1] for _ in range(7)}
    monkeypatch.setattr(ledger, "PAGE", 3)
    # When
    found = list_all(gateway)
    # Then
    assert sorted(each.reference for each in found) == sorted(references)
    pages = [each for each in front.seen if each.line == "GET /v1/payment_intents"]
    assert len(pages) == 3
    assert {each.fields["expand[0]"] for each in pages} == {"data.latest_charge.refunds"}
    assert len({each.fields["created[gte]"] for each in pages}) == 1


def test_a_full_page_is_a_hundred(gateway: StripeGateway, front: Front) -> None:
    list_all(gateway)
    assert front.seen[0].fields["limit"] == "100"


def test_older_ones_are_left_out(gateway: StripeGateway) -> None:
    buy(gateway, "")
    assert list(gateway.list_held(datetime.now(UTC) + HOUR)) == []


def test_an_intent_of_another_system_names_no_checkout(gateway: StripeGateway, local: Local) -> None:
    local.post("/v1/payment_intents", {"amount": "700", "currency": "isk"})
    local.post("/v1/payment_intents", {"amount": "900", "currency": "usd", "metadata": {"checkout_id": "order-7"}})
    found = sorted(list_all(gateway), key=lambda each: each.amount.currency)
    assert [(each.checkout_id, each.amount) for each in found] == [(None, Money(7, "ISK")), (None, Money(900, "USD"))]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (refuse(500, "No."), "APIError (500)"),
        (refuse(401, "Invalid API Key provided: sk_test_1"), "AuthenticationError (401)"),
        (refuse(429, "Too many."), "RateLimitError (429)"),
        ("{", "APIError (200)"),
        (
            Reply(200, {"object": "list", "data": [{"object": "payment_intent"}], "has_more": False, "url": "/v1/x"}),
            "malformed: AttributeError",
        ),
    ],
)
def test_a_list_that_breaks_off_is_not_a_list(
    gateway: StripeGateway, front: Front, monkeypatch: pytest.MonkeyPatch, reply: Reply | str, reason: str
) -> None:
    # Given a second page that goes wrong
    for _ in range(4):
        buy(gateway, "")
    monkeypatch.setattr(ledger, "PAGE", 3)
    front.answers["GET /v1/payment_intents"] = [None, reply, reply]
    # When
    listing = gateway.list_held(datetime.now(UTC) - HOUR)
    came = [next(listing) for _ in range(3)]
    with pytest.raises(Unavailable) as failure:
        next(listing)
    # Then what came is not a complete list
    assert len(came) == 3
    assert failure.value.code is Code.GATEWAY_UNAVAILABLE
    assert failure.value.detail == {"reason": reason}
    assert "sk_test" not in str(failure.value)


def test_a_provider_that_is_not_there_is_unavailable(gateway: StripeGateway, front: Front) -> None:
    front.close()
    with pytest.raises(Unavailable, match="APIConnectionError"):
        list_all(gateway)
