"""`POST /webhooks/{gateway}`: a webhook of the bank is accepted by its signature only, and any number of times."""

from collections.abc import Iterator
from typing import Final

import httpx2
import pytest

from pipeline.gateways.sandbox.webhook_events import SandboxEvent
from pipeline.webhooks.inbound import MAX_BODY
from tests.integration.workers.web.problems import check, count
from tests.integration.workers.web.stage import Stage, pay, put_cart, spin_until, start

JSON: Final = {"Content-Type": "application/json"}


@pytest.fixture
def event(stage: Stage, cup: httpx2.Client) -> SandboxEvent:
    """The bank's webhook about an approved 3-D Secure."""
    checkout_id = start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]
    assert pay(cup, {"checkout_id": checkout_id}, token="tok_action_required").json()["state"] == "action_required"
    stage.bank.approve(stage.find_reference())
    return stage.bank.events()[-1]


@pytest.fixture
def anonymous(stage: Stage) -> Iterator[httpx2.Client]:
    """A client without a key, as the bank is one."""
    with httpx2.Client(base_url=stage.url) as client:
        yield client


def test_the_banks_word_makes_the_order(stage: Stage, event: SandboxEvent, anonymous: httpx2.Client) -> None:
    # When it comes twice
    answers = [anonymous.post("/webhooks/sandbox", content=event.body, headers=event.headers | JSON) for _ in range(2)]
    # Then
    assert [(each.status_code, each.json()) for each in answers] == [(200, {"received": True})] * 2
    spin_until(lambda: stage.shelf.rows("SELECT state FROM checkouts") == [("completed",)], "the order")
    assert stage.shelf.rows("SELECT count(*) FROM webhook_inbox") == [(1,)]
    assert stage.shelf.rows("SELECT count(*) FROM orders") == [(1,)]
    assert stage.shelf.stock("cup") == (8, 0)


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        (b" ", {}),
        (b"", {"webhook-id": "evt_0"}),
        (b"", {"webhook-timestamp": "1764000000"}),
        (b"", {"webhook-signature": "v1,c2FuZGJveA=="}),
        (b"", {"webhook-signature": ""}),
    ],
)
def test_400_of_a_forged_one(
    stage: Stage, event: SandboxEvent, anonymous: httpx2.Client, more: bytes, changed: dict[str, str]
) -> None:
    before = count(stage)
    headers = event.headers | changed | JSON
    answer = anonymous.post("/webhooks/sandbox", content=event.body + more, headers=headers)
    reason = answer.json()["facts"]["reason"]
    sentence = f"The webhook cannot be accepted ({reason}): check its signing secret and the sender's clock."
    check(answer, 400, "webhook_invalid", sentence)
    assert count(stage) == before
    assert stage.shelf.rows("SELECT state FROM checkouts") == [("action_required",)]


def test_404_of_another_gateway(stage: Stage, event: SandboxEvent, anonymous: httpx2.Client) -> None:
    before = count(stage)
    answer = anonymous.post("/webhooks/stripe", content=event.body, headers=event.headers | JSON)
    sentence = 'There is no gateway "stripe" here: use the one that CHECKOUT_GATEWAY names.'
    check(answer, 404, "gateway_unknown", sentence)
    assert count(stage) == before


@pytest.mark.parametrize("chunked", [False, True])
def test_413_of_a_large_one(stage: Stage, anonymous: httpx2.Client, *, chunked: bool) -> None:
    before = count(stage)
    body = b"x" * (MAX_BODY + 1)
    answer = anonymous.post("/webhooks/sandbox", content=iter([body]) if chunked else body, headers=JSON)
    check(answer, 413, "body_too_large", f"The body has more than {MAX_BODY} bytes: send less.")
    assert count(stage) == before
