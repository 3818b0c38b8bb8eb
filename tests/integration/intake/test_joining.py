"""A request joins an active checkout only if it says the same."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from pipeline.carts import Cart
from pipeline.errors import Conflict
from pipeline.intake.requests import StartRequest
from pipeline.intake.result import CommandResult
from tests.support.harness import ADDRESS, OWNER, Shelf, Works
from tests.support.workbench import assert_refused

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
    # The database writes numbers in another way.
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


def ask(works: Works, body: Mapping[str, Any], key: str) -> CommandResult:
    return works.service.start(StartRequest.model_validate({**body, "idempotency_key": key}))


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


def test_the_same_request_with_another_key_joins_the_checkout(works: Works, shelf: Shelf, running: UUID) -> None:
    same = ask(works, REQUEST, "k2")
    assert same == CommandResult(running, changed=False)
    # the cart by its name is the cart that is there
    by_id = ask(works, {**REQUEST, "cart": None, "cart_id": CART["id"]}, "k3")
    assert by_id == CommandResult(running, changed=False)
    assert shelf.rows("SELECT key, checkout_id FROM idempotency_keys ORDER BY key") == [
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
def test_any_other_request_is_refused(works: Works, running: UUID, change: dict[str, Any], differs: str) -> None:
    sentence = OTHERWISE(running, CART["id"], differs)
    assert_refused(works, lambda: ask(works, {**REQUEST, **change}, "k2"), Conflict, "checkout_active", sentence)
    works.pump()


@pytest.mark.parametrize("token", ["tok_other", "tok_declined", "TOK_OK", "tok_ok "])
def test_another_payment_is_not_the_one_that_is_under_way(works: Works, running: UUID, token: str) -> None:
    busy = f"Checkout {running} is running and has its payment: wait for its outcome."
    another = {**REQUEST, "payment": {"token": token}}
    assert_refused(works, lambda: ask(works, another, "k2"), Conflict, "checkout_busy", busy)
    works.pump()


def test_a_request_that_only_names_the_cart_joins_the_checkout(works: Works, running: UUID) -> None:
    look = StartRequest(owner=OWNER, cart_id=UUID(CART["id"]), ttl_seconds=60)
    assert works.service.start(look) == CommandResult(running, changed=False)
    # a message that names nothing but its cart may wait for it too
    assert ask(works, {"owner": OWNER, "cart_id": CART["id"]}, "k2") == CommandResult(running, changed=False)
    works.pump()


def test_no_purchase_joins_an_unwinding_checkout(works: Works, shelf: Shelf) -> None:
    # Given a card that was declined, not undone yet
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    running = works.start(cart_id, token="tok_declined")
    works.pump(until="payment_authorization")
    works.run_phase("payment_authorization")
    assert works.states([running]) == ["unwinding"]
    # When the same cart is bought with a good card, or the same one
    sentence = f"Checkout {running} of cart {cart_id} is in progress (unwinding): repeat the request in a moment."
    for token in ("tok_ok", "tok_declined", None):
        again = lambda token=token: works.start(cart_id, token=token)  # noqa: E731 (read with its sentence)
        assert_refused(works, again, Conflict, "checkout_active", sentence)
    # Then a request that only names the cart joins it, and once it is undone the good card buys
    assert works.service.start(StartRequest(owner=OWNER, cart_id=cart_id)).checkout_id == running
    works.pump()
    bought = works.start(cart_id, token="tok_ok")
    works.pump()
    assert works.states([running, bought]) == ["failed", "completed"]


def test_a_checkout_that_awaits_payment_is_named_to_a_payment_of_it_and_not_of_another_cart(
    works: Works, shelf: Shelf
) -> None:
    # Given a started checkout, without a reference and without expectations
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    running = works.start(cart_id)
    waits = f"Checkout {running} of cart {cart_id} awaits payment: process it, or cancel it."
    changed = Cart.model_validate({"id": cart_id, "currency": "EUR", "lines": [{"sku": "cup", "quantity": 2}]})
    to_pay = partial(works.start, cart_id, token="tok_ok")
    another = {"owner": OWNER, "cart": changed.model_dump(), "payment": {"token": "tok_ok"}}
    for _ in ("in progress", "frozen"):
        # When the same cart is to be paid, with a reference and a total: that can be said to its checkout
        named = partial(to_pay, reference="4711", expected_total_minor=250)
        assert_refused(works, named, Conflict, "checkout_active", waits)
        # When another cart is: to pay that checkout would buy what was not meant
        sentence = OTHERWISE(running, cart_id, "the cart")
        assert_refused(works, partial(ask, works, another, "k2"), Conflict, "checkout_active", sentence)
        works.pump()
    # Then its total is known before it is paid
    sentence = "The total is 250, not the expected 249: show it and ask again."
    assert_refused(works, partial(to_pay, expected_total_minor=249), Conflict, "price_changed", sentence)
    assert works.states([running]) == ["awaiting_payment"]


def test_a_cart_written_by_sql_is_joined_by_its_name(works: Works, shelf: Shelf) -> None:
    # Given a cart whose lines have other numbers
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
