"""The body of each kind of event, its signature, and its texts."""

import json
from typing import Any
from uuid import UUID

from pipeline.checkouts.events import PUBLIC_KINDS
from pipeline.webhooks.outbound.payloads import EVENT
from tests.integration.webhooks.outbound.post import Post
from tests.integration.webhooks.outbound.receiver import Receiver
from tests.support.harness import OWNER


def delivered(post: Post, receiver: Receiver, secret: str) -> list[tuple[str, dict[str, Any]]]:
    """Bring everything and return (kind, data), checked against the signature and the event's row."""
    post.tick()
    found = []
    for each in sorted(receiver.got, key=lambda got: int(got.event_id.removeprefix("evt_"))):
        body = each.verify(secret)
        [(kind, at)] = post.shelf.rows("SELECT kind, at FROM events WHERE id = :id", id=int(each.event_id[4:]))
        assert (body["type"], body["timestamp"]) == (kind, at.isoformat().replace("+00:00", "Z"))
        assert each.headers["content-type"] == "application/json"
        found.append((kind, body["data"]))
    return found


def subject(post: Post, checkout_id: UUID) -> dict[str, Any]:
    status = post.works.status(checkout_id)
    return {
        "checkout_id": str(checkout_id),
        "cart_id": str(status.cart_id),
        "owner": OWNER,
        "reference": status.reference,
        "currency": "EUR",
    }


def test_an_order_is_delivered_from_its_start_to_its_number(post: Post, receiver: Receiver) -> None:
    # Given
    _, secret = post.subscribe(receiver.url)
    checkout_id = post.buy(reference="4711")
    facts = subject(post, checkout_id)
    phases = [
        name
        for (name,) in post.shelf.rows("SELECT phase FROM events WHERE kind = 'checkout.phase_completed' ORDER BY id")
    ]
    # When
    news = delivered(post, receiver, secret)
    # Then
    number = post.works.status(checkout_id).order_number
    order = news[-1][1]["order"]
    assert (order["number"], order["total_minor"]) == (number, 250)
    assert news == [
        ("checkout.started", facts),
        *(("checkout.phase_completed", facts | {"phase": phase}) for phase in phases),
        ("checkout.completed", facts | {"order_number": number, "total_minor": 250, "order": order}),
        ("order.placed", facts | {"order": order}),
    ]
    assert len(phases) == 7
    assert {got.path for got in receiver.got} == {"/hook?shop=1"}
    assert set(post.rows("status, attempts, last_status")) == {("delivered", 1, 204)}


def test_endings_without_an_order_say_why(post: Post, receiver: Receiver) -> None:
    # Given one that fails, one that is cancelled and one that expires
    _, secret = post.subscribe(receiver.url, "checkout.failed", "checkout.cancelled", "checkout.expired")
    failed = post.buy("tok_declined")
    cancelled = post.works.start(post.shelf.add_cart(("cup", 1)))
    post.works.pump()
    post.works.service.cancel(cancelled, OWNER)
    post.works.pump()
    expired = post.works.start(post.shelf.add_cart(("cup", 1)))
    post.works.pump()
    post.shelf.run("UPDATE checkouts SET expires_at = now() WHERE id = :id", id=expired)
    post.works.sweep()
    post.works.pump()
    # When
    news = delivered(post, receiver, secret)
    # Then
    assert [kind for kind, _ in news] == ["checkout.failed", "checkout.cancelled", "checkout.expired"]
    assert [data["checkout_id"] for _, data in news] == [str(failed), str(cancelled), str(expired)]
    assert [data["failure"]["code"] for _, data in news] == ["payment_declined", "cancelled", "expired"]
    assert news[0][1] == subject(post, failed) | {
        "failure": {
            "code": "payment_declined",
            "phase": "payment_authorization",
            "message": "The payment was declined (card_declined): try another payment method.",
            "detail": {"reason": "card_declined", "attempt": 1},
        }
    }


def test_a_required_buyer_action_and_a_review(post: Post, receiver: Receiver) -> None:
    # Given
    _, secret = post.subscribe(receiver.url, "checkout.action_required", "checkout.needs_review")
    waiting = post.buy("tok_action_required")
    looked_at = post.buy("tok_ok+tok_capture_misconfigured")
    for _ in range(20):
        if post.works.states([looked_at]) == ["needs_review"]:
            break
        post.shelf.run("UPDATE checkouts SET due_at = now() WHERE due_reason = 'scheduled'")
        post.shelf.run("UPDATE payment_operations SET updated_at = now() - interval '1 h', leased_until = NULL")
        post.works.sweep()
        post.works.pump()
    assert post.works.states([waiting, looked_at]) == ["action_required", "needs_review"]
    # When
    news = dict(delivered(post, receiver, secret))
    # Then
    assert news["checkout.action_required"]["action"] == post.works.status(waiting).action
    review = news["checkout.needs_review"]["review"]
    assert (review["code"], review["phase"]) == ("gateway_misconfigured", "payment_capture")
    assert news["checkout.needs_review"]["checkout_id"] == str(looked_at)


def test_only_the_owner_and_the_kinds_of_the_endpoint(post: Post, receiver: Receiver) -> None:
    # Given
    post.subscribe(receiver.url, "checkout.completed", owner=OWNER)
    post.subscribe(receiver.url, "checkout.completed", owner="shop-2")
    gone, _ = post.subscribe(receiver.url, "checkout.completed")
    post.shelf.run("UPDATE webhook_endpoints SET active = false WHERE id = :id", id=gone.id)
    # When
    post.buy()
    post.tick()
    # Then
    assert [json.loads(got.body)["type"] for got in receiver.got] == ["checkout.completed"]
    assert len(post.rows()) == 1


def test_every_public_kind_has_a_body() -> None:
    mapping = EVENT.json_schema()["discriminator"]["mapping"]
    assert sorted(mapping) == sorted(PUBLIC_KINDS)
