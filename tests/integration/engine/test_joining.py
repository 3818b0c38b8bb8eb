"""A request is answered by a checkout that is under way only if it says the same."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from pipeline.errors import Conflict, Refused
from pipeline.intake import Admitted
from pipeline.messages import Cart, StartRequest
from tests.harness import ADDRESS, OWNER, Shelf, Works
from tests.integration.engine.workbench import assert_refused, read_bank

#: Everything that a cart can say.
LINE: Final[dict[str, Any]] = {
    "sku": "kettle",
    "quantity": 1,
    "unit_price_minor": 3900,
    "currency": "EUR",
    "title": "A kettle",
    "tax_included": False,
    "discounts": [{"text": "for Ada", "amount_minor": 100}],
    "taxes": [{"name": "VAT", "rate": "0.2", "amount_minor": 760}],
}
CART: Final[dict[str, Any]] = {
    "id": str(uuid4()),
    "currency": "EUR",
    "lines": [LINE, {"sku": "cup", "quantity": 2}],
    "customer": "ada",
    "coupon_codes": ["TEN"],
    "tax_id": "DE136695976",
    "shipping": {"amount_minor": 490, "title": "Post", "tax_included": True, "taxes": []},
    # Numbers come back from the database written in another way.
    "shipping_address": {**ADDRESS, "at": {"x": 1e30, "y": 1e-7, "z": [1.0, -0.0, 2, None, True]}},
    "billing_address": {"vat": "DE136695976"},
}
REQUEST: Final[dict[str, Any]] = {
    "owner": OWNER,
    "cart": CART,
    "payment": {"token": "tok_ok"},
    "expected_total_minor": 4650,
    "reference": "4711",
}
OTHERWISE: Final = (
    "Checkout {} of cart {} was asked for something else ({}): wait for its outcome, or cancel it.".format
)


def ask(works: Works, body: Mapping[str, Any], key: str) -> Admitted:
    return works.door.start(StartRequest.model_validate({**body, "idempotency_key": key}))


def in_cart(**changes: Any) -> dict[str, Any]:
    return {"cart": {**CART, **changes}}


def in_line(**changes: Any) -> dict[str, Any]:
    return in_cart(lines=[{**LINE, **changes}, CART["lines"][1]])


@pytest.fixture
def running(works: Works, shelf: Shelf) -> UUID:
    """The checkout of k1's request."""
    for sku in ("kettle", "cup"):
        shelf.add_variant(sku, stock=9, price_minor=250)
    shelf.add_coupon("TEN")
    return ask(works, REQUEST, "k1").checkout_id


def test_who_says_the_same_under_another_key_is_given_the_same_checkout(
    works: Works, shelf: Shelf, running: UUID
) -> None:
    same = ask(works, REQUEST, "k2")
    assert same == Admitted(running, created=False)
    # the cart by its name is the cart that is there
    by_id = ask(works, {**REQUEST, "cart": None, "cart_id": CART["id"]}, "k3")
    assert by_id == Admitted(running, created=False)
    assert shelf.rows("SELECT key, checkout_id FROM request_keys ORDER BY key") == [
        (key, running) for key in ("k1", "k2", "k3")
    ]
    works.pump()


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (in_line(quantity=5), "the cart"),
        (in_line(sku="cup"), "the cart"),
        (in_line(unit_price_minor=3899), "the cart"),
        (in_line(title="A pot"), "the cart"),
        (in_line(tax_included=None), "the cart"),
        (in_line(discounts=[]), "the cart"),
        (in_line(taxes=None), "the cart"),
        (in_cart(lines=CART["lines"][::-1]), "the cart"),
        (in_cart(lines=CART["lines"][:1]), "the cart"),
        (in_cart(coupon_codes=[]), "the cart"),
        (in_cart(customer="eve"), "the cart"),
        (in_cart(tax_id=None), "the cart"),
        (in_cart(tax_id="XI980780684"), "the cart"),
        (in_cart(tax_id_validated={"source": "VIES", "at": "2026-11-28T15:00:00Z"}), "the cart"),
        (in_cart(shipping=None), "the cart"),
        (in_cart(shipping={**CART["shipping"], "amount_minor": 0}), "the cart"),
        (in_cart(shipping_address={**CART["shipping_address"], "city": "Bath"}), "the cart"),
        (in_cart(billing_address=None), "the cart"),
        (in_cart(currency="USD"), "the cart"),
        ({"reference": "4712"}, "the reference"),
        ({"reference": None}, "the reference"),
        ({"expected_total_minor": 19500}, "the expected amounts"),
        ({"expected_total_minor": None}, "the expected amounts"),
        ({"expected_hash": "x"}, "the expected amounts"),
        ({"expected_lines": {"1": 1}}, "the expected amounts"),
        (in_line(quantity=5) | {"payment": {"token": "tok_declined"}}, "the cart and the payment"),
        ({"reference": "x", "expected_total_minor": 1}, "the reference and the expected amounts"),
        ({"payment": None, "reference": "x"}, "the reference"),
        ({"payment": None} | in_line(quantity=5), "the cart"),
    ],
)
def test_who_says_anything_else_is_refused(works: Works, running: UUID, change: dict[str, Any], differs: str) -> None:
    sentence = OTHERWISE(running, CART["id"], differs)
    assert_refused(works, lambda: ask(works, {**REQUEST, **change}, "k2"), Conflict, "checkout_active", sentence)
    works.pump()


@pytest.mark.parametrize("token", ["tok_other", "tok_declined", "TOK_OK", "tok_ok "])
def test_another_payment_is_not_the_one_that_is_under_way(works: Works, running: UUID, token: str) -> None:
    busy = f"Checkout {running} is running and has its payment: wait for its outcome."
    another = {**REQUEST, "payment": {"token": token}}
    assert_refused(works, lambda: ask(works, another, "k2"), Conflict, "checkout_busy", busy)
    works.pump()


def test_who_only_looks_is_shown_what_there_is(works: Works, running: UUID) -> None:
    look = StartRequest(owner=OWNER, cart_id=UUID(CART["id"]), ttl_seconds=60)
    assert works.door.start(look) == Admitted(running, created=False)
    # a message that names nothing but its cart may wait for it too
    assert ask(works, {"owner": OWNER, "cart_id": CART["id"]}, "k2") == Admitted(running, created=False)
    works.pump()


@pytest.mark.parametrize(
    ("expected", "differs"),
    [
        ({"expected_total_minor": 951}, None),
        ({"expected_total_minor": 950, "expected_hash": "0" * 64}, "the quote's hash is another one"),
        ({"expected_lines": {"1": 1, "2": 450}}, "line 1 is 500, not 1"),
    ],
)
@pytest.mark.parametrize("by_cart", [True, False], ids=["by cart", "by checkout"])
def test_a_frozen_quote_is_held_against_what_is_expected(
    works: Works, shelf: Shelf, expected: dict[str, Any], differs: str | None, *, by_cart: bool
) -> None:
    # Given a buyer who pays what they were shown, and is at their bank
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_variant("pot", stock=9, price_minor=450)
    cart_id = shelf.add_cart(("cup", 2), ("pot", 1))
    running = works.start(cart_id, token="tok_action_required", expected_total_minor=950)
    works.pump()

    def again(**said: Any) -> UUID:
        if by_cart:
            return works.start(cart_id, token="tok_action_required", **said)
        return works.pay(running, "tok_action_required", **said).checkout_id

    # When another request for it expects something else
    sentence = (
        "The total is 950, not the expected 951: show it and ask again."
        if differs is None
        else f"What is charged is not what was expected ({differs}): show it and ask again."
    )
    assert_refused(works, lambda: again(**expected), Conflict, "price_changed", sentence)
    with pytest.raises(Conflict) as refusal:
        again(**expected)
    # Then it is told the quote, and whose it is
    assert (refusal.value.detail["checkout_id"], refusal.value.detail["total_minor"]) == (str(running), 950)
    # And what agrees with the quote is answered by it, whichever way it says so
    for agreed in ({}, {"expected_total_minor": 950}, {"expected_lines": {"1": 500, "2": 450}}):
        assert again(**agreed) == running
    assert works.states([running]) == ["action_required"]


def test_a_checkout_that_is_turning_back_answers_nobody_who_buys(works: Works, shelf: Shelf) -> None:
    # Given a card that was declined, not undone yet
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    running = works.start(cart_id, token="tok_declined")
    works.pump(until="payment_authorization")
    works.run_phase("payment_authorization")
    assert works.states([running]) == ["unwinding"]
    # When the same cart is bought with a good card, or the same one
    sentence = f"Checkout {running} of cart {cart_id} is unwinding: repeat the request in a moment."
    for token in ("tok_ok", "tok_declined", None):
        again = lambda token=token: works.start(cart_id, token=token)  # noqa: E731 (read with its sentence)
        assert_refused(works, again, Conflict, "checkout_active", sentence)
    # Then who only looks is shown it, and once it is undone the good card buys
    assert works.door.start(StartRequest(owner=OWNER, cart_id=cart_id)).checkout_id == running
    works.pump()
    bought = works.start(cart_id, token="tok_ok")
    works.pump()
    assert works.states([running, bought]) == ["failed", "completed"]


def test_a_second_card_by_the_cart_is_sent_to_the_checkout_that_waits_for_it(works: Works, shelf: Shelf) -> None:
    # Given a started checkout whose first card was declined
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    running = works.start(cart_id)
    works.pump()
    works.pay(running, "tok_declined")
    works.pump()
    assert works.states([running]) == ["awaiting_payment"]
    # When the next comes by the cart, it is not answered with the first one's refusal
    sentence = f"Cart {cart_id} waits to be paid in checkout {running}: process that one, or cancel it."
    for token in ("tok_ok", "tok_declined"):
        again = lambda token=token: works.start(cart_id, token=token)  # noqa: E731 (read with its sentence)
        assert_refused(works, again, Conflict, "checkout_active", sentence)
    # Then by the checkout it buys
    works.pay(running)
    works.pump()
    assert works.states([running]) == ["completed"]


def test_a_payment_under_way_is_joined_by_its_checkout_too(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    running = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    works.pay(running, expected_total_minor=250)
    # When the same is said under another key, and another payment under a third
    assert works.pay(running, idempotency_key="again").created is False
    busy = f"Checkout {running} is running and has its payment: wait for its outcome."
    for other in ("tok_other", None):
        again = lambda token=other: works.pay(running, token)  # noqa: E731 (read with its sentence)
        expect = ("checkout_busy", busy)
        assert_refused(works, again, Conflict, *expect)
    # Then it is paid once
    works.pump()
    assert works.states([running]) == ["completed"]
    assert read_bank(engine, running).captured_minor == 250


@pytest.mark.parametrize("token", ["tok_action_required", "tok_other"])
def test_a_buyer_at_their_bank_is_answered_alike_by_cart_and_by_checkout(
    works: Works, shelf: Shelf, token: str
) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    running = works.start(cart_id, token="tok_action_required")
    works.pump()

    def tell(act: Any) -> object:
        try:
            answer = act()
        except Refused as refusal:
            return refusal.code, str(refusal), refusal.detail
        return answer if isinstance(answer, UUID) else answer.checkout_id

    # When
    by_cart, by_checkout = tell(lambda: works.start(cart_id, token=token)), tell(lambda: works.pay(running, token))
    # Then
    assert by_cart == by_checkout
    sentence = f"Checkout {running} waits for the buyer at their bank: have the buyer finish there, or cancel it."
    refusal = ("checkout_busy", sentence, {"checkout_id": str(running), "state": "action_required"})
    assert by_cart == (running if token == "tok_action_required" else refusal)


def test_a_cart_written_by_sql_is_joined_by_its_name(works: Works, shelf: Shelf) -> None:
    # Given a cart whose lines are numbered by somebody else
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    shelf.run("UPDATE cart_lines SET line = 7")
    running = works.start(cart_id, token="tok_ok")
    # When it is brought along as well, its line would be the first
    cart = Cart.model_validate({"id": cart_id, "currency": "EUR", "lines": [{"sku": "cup", "quantity": 1}]})
    body = {"owner": OWNER, "cart": cart.model_dump() | {"shipping_address": ADDRESS}, "payment": {"token": "tok_ok"}}
    # Then it is another one: what is expected of line 1 is expected of none that is there
    with pytest.raises(Conflict):
        ask(works, body, "k2")
    assert works.start(cart_id, token="tok_ok") == running
    works.pump()
    assert works.states([running]) == ["completed"]
