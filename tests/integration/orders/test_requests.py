"""What can be asked of a placed order, and how often."""

from uuid import UUID, uuid4

import pytest

from models.states import ChangeState
from pipeline.errors import Code, Conflict, Invalid, NotFound
from pipeline.orders.requests import (
    CancelRequest,
    FulfillmentRequest,
    LineUnits,
    PlacedUnits,
    RefundRequest,
    RestockRequest,
)
from tests.support.harness import OWNER, Shelf, Works


@pytest.fixture
def order_id(works: Works, shelf: Shelf) -> UUID:
    """An order of three cups and a pot, 10.00 in all, placed."""
    shelf.add_variant("cup", stock=5, price_minor=250)
    shelf.add_variant("pot", stock=5, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 3), ("pot", 1)), token="tok_ok")
    works.pump()
    found: UUID = shelf.row("SELECT id FROM orders WHERE checkout_id = :id", id=checkout_id).id
    return found


def test_a_repeat_of_a_request_finds_its_change(works: Works, shelf: Shelf, order_id: UUID) -> None:
    request = RefundRequest(lines=(LineUnits(line=1, quantity=1),), reason="a crack")
    first = works.orders.request(order_id, OWNER, request, actor="key:one", idempotency_key="k")
    again = works.orders.request(order_id, OWNER, request, actor="key:two", idempotency_key="k")
    assert (first.created, first.state, again.created, again.change_id) == (
        True,
        ChangeState.REQUESTED,
        False,
        first.change_id,
    )
    rows = shelf.rows("SELECT kind, state, amount_minor, reason, actor, owner, due_at > now() FROM order_changes")
    assert rows == [("refund", "requested", 250, "a crack", "key:one", OWNER, True)]
    assert shelf.rows("SELECT purpose, line, quantity, amount_minor FROM order_change_lines") == [("refund", 1, 1, 250)]


def test_another_request_with_the_key_is_refused(works: Works, order_id: UUID) -> None:
    works.orders.request(order_id, OWNER, RefundRequest(amount_minor=1), actor="key:one", idempotency_key="k")
    with pytest.raises(Conflict) as refused:
        works.orders.request(order_id, OWNER, RefundRequest(amount_minor=2), actor="key:one", idempotency_key="k")
    assert refused.value.code is Code.KEY_CONFLICT


def test_an_order_of_another_owner_is_unknown(works: Works, order_id: UUID) -> None:
    for owner, id_ in (("other", order_id), (OWNER, uuid4())):
        with pytest.raises(NotFound) as refused:
            works.orders.request(id_, owner, CancelRequest(), actor="key:one", idempotency_key="k")
        assert refused.value.code is Code.ORDER_UNKNOWN


def test_an_operator_changes_the_order_of_any_owner(works: Works, shelf: Shelf, order_id: UUID) -> None:
    works.orders.request(order_id, None, CancelRequest(), actor="operator:ada", idempotency_key="k")
    assert shelf.rows("SELECT owner, actor, amount_minor FROM order_changes") == [(OWNER, "operator:ada", 1000)]


@pytest.mark.parametrize(
    ("request_", "code", "sentence"),
    [
        (
            RefundRequest(amount_minor=1001),
            Code.REFUND_EXCEEDS_CAPTURED,
            "10.01 EUR of order {number} cannot be refunded: refund at most 10.00 EUR.",
        ),
        (
            RefundRequest(lines=(LineUnits(line=1, quantity=4),)),
            Code.LINE_NOT_REFUNDABLE,
            "Line 1: 4 cannot be refunded: name at most 3 units.",
        ),
        (
            RefundRequest(lines=(LineUnits(line=9, quantity=1),)),
            Code.LINE_NOT_REFUNDABLE,
            "Line 9 has no unit left to refund: leave it out.",
        ),
        (
            RefundRequest(delivery_minor=1),
            Code.DELIVERY_NOT_REFUNDABLE,
            "0.01 EUR of the delivery cannot be refunded: refund at most 0.00 EUR of it.",
        ),
        (
            RestockRequest(lines=(PlacedUnits(line=2, quantity=2),)),
            Code.LINE_NOT_RESTOCKABLE,
            'Line 2: 2 cannot be restocked at "main": name at most 1 unit, sold there.',
        ),
        (
            RestockRequest(lines=(PlacedUnits(line=2, quantity=1, location="north"),)),
            Code.LINE_NOT_RESTOCKABLE,
            'Line 2 has no unit left to restock at "north": name where it was sold, or leave it out.',
        ),
        (
            FulfillmentRequest(lines=(PlacedUnits(line=2, quantity=2),)),
            Code.LINE_NOT_FULFILLABLE,
            "Line 2: 2 cannot be fulfilled: name at most 1 unit.",
        ),
    ],
)
def test_more_than_is_left_is_refused(
    works: Works,
    shelf: Shelf,
    order_id: UUID,
    request_: RefundRequest | RestockRequest | FulfillmentRequest,
    code: Code,
    sentence: str,
) -> None:
    number = shelf.row("SELECT number FROM orders").number
    with pytest.raises(Conflict) as refused:
        works.orders.request(order_id, OWNER, request_, actor="key:one", idempotency_key="k")
    assert (refused.value.code, str(refused.value)) == (code, sentence.format(number=number))
    assert shelf.rows("SELECT FROM order_changes") == []


def test_what_is_requested_counts_at_once(works: Works, order_id: UUID) -> None:
    works.orders.request(order_id, OWNER, RefundRequest(amount_minor=999), actor="key:one", idempotency_key="a")
    with pytest.raises(Conflict) as refused:
        works.orders.request(order_id, OWNER, RefundRequest(amount_minor=2), actor="key:one", idempotency_key="b")
    assert refused.value.detail["left"] == "0.01 EUR"
    works.orders.request(order_id, OWNER, RefundRequest(all=True), actor="key:one", idempotency_key="c")
    with pytest.raises(Conflict) as nothing:
        works.orders.request(order_id, OWNER, RefundRequest(all=True), actor="key:one", idempotency_key="d")
    assert str(nothing.value).endswith("nothing is left to refund: all that was paid is refunded, or about to be.")


def test_the_location_of_units_sold_at_two_places_must_be_named(works: Works, shelf: Shelf) -> None:
    shelf.add_variant("jug", stock={"main": 1, "north": 1})
    checkout_id = works.start(shelf.add_cart(("jug", 2)), token="tok_ok")
    works.pump()
    order_id = shelf.row("SELECT id FROM orders WHERE checkout_id = :id", id=checkout_id).id
    with pytest.raises(Invalid) as refused:
        works.orders.request(
            order_id,
            OWNER,
            RestockRequest(lines=(PlacedUnits(line=1, quantity=1),)),
            actor="key:one",
            idempotency_key="k",
        )
    assert "line 1 was sold at main and north, and no location is named" in str(refused.value)
