"""The bodies of webhooks about orders: the order and its change, the same at each repeat, and never too large."""

import json
from typing import Any
from uuid import UUID, uuid4

from models.states import OrderState
from pipeline.orders.requests import CancelRequest, ChangeRequest, FulfillmentRequest, PlacedUnits, RefundRequest
from pipeline.webhooks.outbound.order_parts import MAX_LINES_SENT
from tests.integration.webhooks.outbound.post import Post
from tests.integration.webhooks.outbound.receiver import Receiver
from tests.support.harness import OWNER


def ask(post: Post, order_id: UUID, request: ChangeRequest) -> UUID:
    """Change an order and let the workers do it."""
    result = post.works.orders.request(order_id, OWNER, request, actor="key:shop", idempotency_key=str(uuid4()))
    post.works.pump()
    post.works.executor.finish()
    post.works.pump()
    return result.change_id


def order(post: Post) -> UUID:
    """Return the one order."""
    found: UUID = post.shelf.row("SELECT id FROM orders").id
    return found


def bodies(post: Post, receiver: Receiver) -> list[tuple[str, dict[str, Any]]]:
    """Deliver everything; return (kind, data) in the order of the events."""
    post.tick()
    got = sorted(receiver.got, key=lambda each: int(each.event_id.removeprefix("evt_")))
    return [(body["type"], body["data"]) for body in (json.loads(each.body) for each in got)]


def test_a_placed_order_is_told_with_its_lines(post: Post, receiver: Receiver) -> None:
    post.subscribe(receiver.url, "order.placed", "checkout.completed")
    post.buy(reference="4711")
    completed, placed = bodies(post, receiver)
    assert (completed[0], placed[0]) == ("checkout.completed", "order.placed")
    assert completed[1]["order"] == placed[1]["order"]
    order_id = str(order(post))
    assert placed[1]["order"] == {
        "id": order_id,
        "number": post.shelf.row("SELECT number FROM orders").number,
        "state": "placed",
        "reference": "4711",
        "customer": None,
        "subtotal_minor": 250,
        "discount_minor": 0,
        "shipping_minor": 0,
        "tax_minor": 0,
        "total_minor": 250,
        "lines": [
            {
                "line": 1,
                "sku": "cup",
                "title": "The cup",
                "quantity": 1,
                "unit_price_minor": 250,
                "total_minor": 250,
            }
        ],
        "line_count": 1,
        "url": f"/orders/{order_id}",
    }


def test_changes_are_told_with_the_order(post: Post, receiver: Receiver) -> None:
    post.subscribe(receiver.url, "order.refunded", "order.fulfilled", "order.cancelled")
    post.buy()
    order_id = order(post)
    refunded = ask(post, order_id, RefundRequest(amount_minor=50, reason="a crack"))
    cancelled = ask(post, order_id, CancelRequest())
    first, second = bodies(post, receiver)
    assert (first[0], first[1]["order"]["state"]) == ("order.refunded", "placed")
    assert first[1]["change"] == {
        "id": str(refunded),
        "kind": "refund",
        "amount_minor": 50,
        "lines": [],
        "line_count": 0,
        "actor": "key:shop",
        "reason": "a crack",
        "reference": None,
        "state": None,
        "carrier": None,
        "tracking": None,
        "failure": None,
        "url": f"/orders/{order_id}/changes/{refunded}",
    }
    assert (second[0], second[1]["order"]["state"]) == ("order.cancelled", "cancelled")
    assert (second[1]["change"]["id"], second[1]["change"]["amount_minor"]) == (str(cancelled), 200)
    assert [(each["line"], each["quantity"]) for each in second[1]["change"]["lines"]] == [(1, 1)]


def test_a_shipment_has_its_tracking(post: Post, receiver: Receiver) -> None:
    post.subscribe(receiver.url, "order.fulfilled")
    post.buy()
    units = (PlacedUnits(line=1, quantity=1),)
    ask(post, order(post), FulfillmentRequest(lines=units, carrier="post", tracking="RM1"))
    [(_, data)] = bodies(post, receiver)
    assert (data["change"]["carrier"], data["change"]["tracking"]) == ("post", "RM1")


def test_a_failed_refund_says_why(post: Post, receiver: Receiver) -> None:
    post.subscribe(receiver.url, "order.refund_failed")
    post.buy("tok_ok+tok_refund_amount_declined")
    ask(post, order(post), RefundRequest(all=True))
    [(kind, data)] = bodies(post, receiver)
    assert (kind, data["order"]["state"], data["change"]["failure"]["code"]) == (
        *("order.refund_failed", OrderState.PLACED, "refund_declined"),
    )


def test_a_repeat_has_the_same_body_whatever_has_happened_since(post: Post, receiver: Receiver) -> None:
    post.subscribe(receiver.url, "order.placed")
    post.buy()
    receiver.answers.append(500)
    post.tick()
    ask(post, order(post), CancelRequest())
    post.make_due()
    post.tick()
    first, second = receiver.got
    assert (first.event_id, first.body) == (second.event_id, second.body)
    assert json.loads(second.body)["data"]["order"]["state"] == "placed"


def test_an_order_of_five_thousand_lines_has_a_body_of_two_hundred(post: Post, receiver: Receiver) -> None:
    # Given an order with many lines, and a change of all of them
    post.subscribe(receiver.url, "order.placed", "order.fulfilled")
    post.buy()
    post.shelf.force("""
        INSERT INTO order_lines (order_id, line, variant_id, sku, title, quantity, unit_price_minor, total_minor,
                                 tax_included, subtotal_minor, discount_minor, tax_minor, discounts, taxes)
        SELECT o.id, n, v.id, v.sku, v.title, 1, 0, 0, true, 0, 0, 0, '[]', '[]'
        FROM orders o, variants v, generate_series(2, 5000) n
    """)
    lines = tuple(PlacedUnits(line=n, quantity=1) for n in range(1, 5001))
    ask(post, order(post), FulfillmentRequest(lines=lines))
    # When
    found = bodies(post, receiver)
    # Then
    assert [kind for kind, _ in found] == ["order.placed", "order.fulfilled"]
    for _, data in found:
        assert (len(data["order"]["lines"]), data["order"]["line_count"]) == (MAX_LINES_SENT, 5000)
    assert (len(found[1][1]["change"]["lines"]), found[1][1]["change"]["line_count"]) == (MAX_LINES_SENT, 5000)
    assert max(len(each.body) for each in receiver.got) < 64 * 1024
    # The audit knows no order with lines that were not sold.
    post.shelf.force("DELETE FROM order_change_lines WHERE line > 1")
    post.shelf.force("DELETE FROM order_lines WHERE line > 1")
