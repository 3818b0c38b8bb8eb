"""Starting and paying: once a key, once a cart, and nothing changed by what is refused."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine

from pipeline.carts import Cart
from pipeline.carts.cart_input import CartLine
from pipeline.errors import Conflict, Invalid
from pipeline.intake.requests import PaymentInput, StartRequest
from tests.support.harness import ADDRESS, OWNER, Shelf, Works
from tests.support.workbench import assert_refused, take_snapshot


def test_the_same_key_with_the_same_request_is_the_same_result(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    request = StartRequest(
        owner=OWNER, cart_id=shelf.add_cart(("cup", 1)), idempotency_key="k1", payment=PaymentInput(token="tok_ok")
    )
    first = works.service.start(request)
    before = take_snapshot(engine)
    # When
    second = works.service.start(request)
    # Then
    assert (first.changed, second.changed, second.checkout_id) == (True, False, first.checkout_id)
    assert take_snapshot(engine) == before
    assert len(works.line.sent) == 1
    # When it comes once more, long after the end
    works.pump()
    before = take_snapshot(engine)
    third = works.service.start(request)
    # Then
    assert (third.changed, third.checkout_id) == (False, first.checkout_id)
    assert take_snapshot(engine) == before


def test_the_same_key_with_another_request_is_a_conflict(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    cart_id = shelf.add_cart(("cup", 1))
    works.start(cart_id, idempotency_key="k1")
    sentence = 'Idempotency key "k1" was used for another request: use a new key for a new request.'
    other_cart = shelf.add_cart(("cup", 1))
    # When, then
    for other in (
        lambda: works.start(other_cart, idempotency_key="k1"),
        lambda: works.start(cart_id, idempotency_key="k1", token="tok_ok"),
        lambda: works.start(cart_id, idempotency_key="k1", ttl_seconds=60),
        lambda: works.start(cart_id, idempotency_key="k1", expected_total_minor=1),
        lambda: works.start(cart_id, idempotency_key="k1", reference="r"),
    ):
        assert_refused(works, other, Conflict, "idempotency_conflict", sentence)
    # When another owner has the same key
    other_id = works.start(shelf.add_cart(("cup", 1)), idempotency_key="k1", owner="shop-2")
    # Then
    assert works.status(other_id).owner == "shop-2"
    works.pump()


def test_the_same_cart_of_the_same_owner_is_the_same_checkout(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    cart_id = shelf.add_cart(("cup", 1))
    first = works.start(cart_id, idempotency_key="k1")
    # When
    second = works.start(cart_id, idempotency_key="k2")
    third = works.start(cart_id, idempotency_key="k2")
    # Then
    assert (second, third) == (first, first)
    assert len(works.line.sent) == 1
    works.pump()
    assert shelf.stock("cup") == (5, 1)


def test_a_cart_locked_by_another_owner_is_refused(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    cart_id = shelf.add_cart(("cup", 1))
    until = works.status(works.start(cart_id)).expires_at.isoformat()
    sentence = f"Cart {cart_id} is locked by another owner's checkout until {until}: try again after that."
    # When, then
    assert_refused(works, lambda: works.start(cart_id, owner="shop-2"), Conflict, "cart_locked", sentence)
    cart = Cart(id=cart_id, currency="EUR", lines=[CartLine(sku="cup", quantity=4)], shipping_address=ADDRESS)
    request = StartRequest(owner="shop-2", cart=cart, idempotency_key="k1")
    assert_refused(works, lambda: works.service.start(request), Conflict, "cart_locked", sentence)
    works.pump()


def test_a_cart_that_was_bought_is_refused(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    cart_id = shelf.add_cart(("cup", 1))
    works.start(cart_id, token="tok_ok")
    works.pump()
    # When, then
    sentence = f"Cart {cart_id} has been bought already: start with a new cart."
    assert_refused(works, lambda: works.start(cart_id), Conflict, "cart_completed", sentence)


def test_a_start_needs_a_key_when_it_pays(works: Works, shelf: Shelf) -> None:
    cart_id = shelf.add_cart(("cup", 1))
    sentence = "A payment or a queued message needs an idempotency key: send one unique to this purchase."

    assert_refused(
        works,
        lambda: works.start(cart_id, token="tok_ok", idempotency_key=None),
        Invalid,
        "idempotency_key_required",
        sentence,
    )


def test_a_reservation_has_a_longest_time(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    cart_id = shelf.add_cart(("cup", 1))
    sentence = "A checkout may hold stock for at most 3600 seconds: ask for less, or leave ttl_seconds out."
    # When, then
    assert_refused(works, lambda: works.start(cart_id, ttl_seconds=3601), Invalid, "ttl_too_long", sentence)
    # When
    longest = works.status(works.start(cart_id, ttl_seconds=3600))
    normal = works.status(works.start(shelf.add_cart(("cup", 1))))
    # Then
    assert (longest.expires_at - longest.created_at).total_seconds() == 3600
    assert (normal.expires_at - normal.created_at).total_seconds() == 900
    works.pump()


def test_a_cart_may_come_along(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5, price_minor=None)
    shelf.add_variant("pot", stock=5, price_minor=100)
    lines = [CartLine(sku="cup", quantity=2, unit_price_minor=333, title="A cup"), CartLine(sku="pot", quantity=1)]
    cart = Cart(id=uuid4(), currency="EUR", lines=lines, shipping_address=ADDRESS, billing_address={"vat": "GB1"})
    # When
    request = StartRequest(owner=OWNER, cart=cart, idempotency_key="k1", payment=PaymentInput(token="tok_ok"))
    checkout_id = works.service.start(request).checkout_id
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows("SELECT sku, title, quantity, unit_price_minor, total_minor FROM order_lines ORDER BY line") == [
        ("cup", "A cup", 2, 333, 666),
        ("pot", "The pot", 1, 100, 100),
    ]
    assert shelf.rows("SELECT total_minor, shipping_address, billing_address FROM orders") == [
        (766, dict(ADDRESS), {"vat": "GB1"})
    ]


def test_a_cart_that_comes_along_replaces_an_open_one(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5, price_minor=250)
    cart_id = shelf.add_cart(("cup", 4), ("pot", 1), currency="USD", address=None)
    cart = Cart(id=cart_id, currency="EUR", lines=[CartLine(sku="cup", quantity=1)], shipping_address=ADDRESS)
    # When
    request = StartRequest(owner=OWNER, cart=cart, cart_id=cart_id, idempotency_key="k1")
    checkout_id = works.service.start(request).checkout_id
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["awaiting_payment"]
    assert shelf.rows("SELECT line, sku, quantity FROM cart_lines") == [(1, "cup", 1)]
    assert works.status(checkout_id).currency == "EUR"
    # When it comes along again while it is locked: as it is, and changed
    again = works.service.start(StartRequest(owner=OWNER, cart=cart, idempotency_key="k2"))
    assert (again.changed, again.checkout_id) == (False, checkout_id)
    more = cart.model_copy(update={"lines": [CartLine(sku="cup", quantity=2)]})
    # Then the changed request does not join the running checkout
    sentence = (
        f"Checkout {checkout_id} of cart {cart_id} was asked for something else (the cart): wait for its outcome, or"
        " cancel it."
    )
    changed = StartRequest(owner=OWNER, cart=more, idempotency_key="k3")
    assert_refused(works, lambda: works.service.start(changed), Conflict, "checkout_active", sentence)


def test_many_starts_in_one_transaction_leave_each_other_alone(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    carts = [shelf.add_cart(("cup", 1)), uuid4(), shelf.add_cart(("cup", 1))]
    # When
    answers = works.service.start_many(
        [StartRequest(owner=OWNER, cart_id=each, idempotency_key=str(each)) for each in carts]
    )
    works.pump()
    # Then
    assert [type(each).__name__ for each in answers] == ["CommandResult", "NotFound", "CommandResult"]
    assert shelf.rows("SELECT state, count(*) FROM checkouts GROUP BY 1") == [("awaiting_payment", 2)]


def test_a_payment_for_a_cart_that_waits_to_be_paid_is_refused_and_not_lost(works: Works, shelf: Shelf) -> None:
    # Given a checkout that waits for its payment
    shelf.add_variant("cup", stock=5)
    cart_id = shelf.add_cart(("cup", 1))
    checkout_id = works.start(cart_id)
    works.pump()
    # When its owner starts the same cart with a payment
    with pytest.raises(Conflict) as refused:
        works.start(cart_id, token="tok_ok", idempotency_key="again")
    # Then the refusal names the one to pay, and nothing is written
    assert str(refused.value) == (f"Checkout {checkout_id} of cart {cart_id} awaits payment: process it, or cancel it.")
    assert shelf.rows("SELECT count(*) FROM idempotency_keys WHERE key = 'again'") == [(0,)]
    assert shelf.rows("SELECT count(*) FROM payments") == [(0,)]
    works.pay(checkout_id)
    works.pump()
    assert works.states([checkout_id]) == ["completed"]
