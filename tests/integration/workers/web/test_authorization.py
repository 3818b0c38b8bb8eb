"""Every route with every kind of key, and owners who never see each other."""

from typing import Any, Final
from uuid import UUID, uuid4

import httpx2
import pytest

from pipeline.security import Scope, create_key, revoke_key
from tests.integration.workers.web.problems import count
from tests.integration.workers.web.stage import BODY, Stage, pay, put_cart, start
from tests.support.harness import ADDRESS

UNKNOWN_ID: Final = str(uuid4())

KEYED: Final = {"headers": {"Idempotency-Key": "k"}}
ONE: Final = {"line": 1, "quantity": 1}

#: Every route: the request, the scope that it needs, and the response to a key with it.
ROUTES: Final[dict[tuple[str, str], tuple[dict[str, Any], Scope | None, int]]] = {
    ("GET", "/checkout"): ({"params": {"cart_id": UNKNOWN_ID}}, Scope.CHECKOUT, 404),
    ("POST", "/checkout"): (
        {"json": {"cart_id": UNKNOWN_ID, "payment": {"token": "t"}}, "headers": {"Idempotency-Key": "k"}},
        Scope.CHECKOUT,
        404,
    ),
    ("GET", "/checkout/status"): ({"params": {"checkout_id": UNKNOWN_ID}}, Scope.CHECKOUT, 404),
    ("POST", "/checkout/cancel"): ({"json": {"checkout_id": UNKNOWN_ID}}, Scope.CHECKOUT, 404),
    ("PUT", "/carts/{cart_id}"): ({"json": {"currency": "EUR"}}, Scope.CHECKOUT, 422),
    ("GET", "/carts/{cart_id}"): ({}, Scope.CHECKOUT, 404),
    ("GET", "/orders"): ({}, Scope.ORDERS, 200),
    ("GET", "/orders/{order_id}"): ({}, Scope.ORDERS, 404),
    ("GET", "/orders/{order_id}/changes/{change_id}"): ({}, Scope.ORDERS, 404),
    ("POST", "/orders/{order_id}/cancel"): ({"json": {}, **KEYED}, Scope.ORDERS, 404),
    ("POST", "/orders/{order_id}/refunds"): ({"json": {"all": True}, **KEYED}, Scope.ORDERS, 404),
    ("POST", "/orders/{order_id}/restocks"): ({"json": {"lines": [ONE]}, **KEYED}, Scope.ORDERS, 404),
    ("POST", "/orders/{order_id}/fulfillments"): ({"json": {"lines": [ONE]}, **KEYED}, Scope.ORDERS, 404),
    ("GET", "/events"): ({}, Scope.EVENTS, 200),
    ("GET", "/variants"): ({}, Scope.CATALOG, 200),
    ("PUT", "/variants"): ({"json": {"rows": [{"sku": ""}]}, **KEYED}, Scope.CATALOG, 422),
    ("PUT", "/prices"): ({"json": {"rows": [{"sku": "x"}]}, **KEYED}, Scope.CATALOG, 422),
    ("GET", "/stock"): ({"params": {"sku": "x"}}, Scope.CATALOG, 200),
    ("POST", "/stock/changes"): (
        {"json": {"rows": [{"sku": "x", "location": "main", "delta": 1}]}, **KEYED},
        Scope.CATALOG,
        404,
    ),
    ("POST", "/stock/transfers"): ({"json": {"rows": [{"sku": "x"}]}, **KEYED}, Scope.CATALOG, 422),
    ("GET", "/availability"): ({"params": {"sku": "x"}}, Scope.CHECKOUT, 200),
    ("POST", "/webhooks/{gateway}"): ({"json": {}}, None, 404),
    ("GET", "/health/checkout"): ({}, None, 200),
    ("GET", "/metrics"): ({}, Scope.ADMIN, 200),
    ("GET", "/admin"): ({}, Scope.ADMIN, 303),
    ("GET", "/admin/checkout-locks"): ({}, Scope.ADMIN, 200),
    ("GET", "/admin/checkout-locks/statistics"): ({}, Scope.ADMIN, 200),
    ("GET", "/admin/checkout-locks/{checkout_id}"): ({}, Scope.ADMIN, 404),
    ("POST", "/admin/checkout-locks/{checkout_id}/release"): ({"json": {"reason": "r"}}, Scope.ADMIN, 404),
    ("POST", "/admin/checkout-locks/{checkout_id}/retry"): ({"json": {"reason": "r"}}, Scope.ADMIN, 404),
    ("GET", "/admin/orders"): ({}, Scope.ADMIN, 200),
    ("GET", "/admin/orders/{order_id}"): ({}, Scope.ADMIN, 404),
    ("POST", "/admin/orders/{order_id}/settle"): (
        {"json": {"reason": "r", "change": UNKNOWN_ID, "resolution": "done"}},
        Scope.ADMIN,
        404,
    ),
    ("POST", "/admin/orders/{order_id}/{action}"): ({"json": {"reason": "r"}}, Scope.ADMIN, 404),
    ("GET", "/admin/sign-in"): ({}, None, 200),
    ("POST", "/admin/sign-in"): ({}, None, 403),
    ("POST", "/admin/sign-out"): ({}, None, 403),
}

KEYS: Final[dict[str, frozenset[Scope] | None]] = {
    "none": None,
    "malformed": None,
    "unknown": None,
    "tampered": None,
    "revoked": None,
    "expired": None,
    "basic": None,
    **{scope.value: frozenset({scope}) for scope in Scope},
    "all": frozenset(Scope),
}


def make_header(stage: Stage, kind: str) -> dict[str, str]:
    """Return the header that carries this kind of key."""
    if kind == "none":
        return {}
    if (scopes := KEYS[kind]) is not None:
        return {"Authorization": f"Bearer {stage.token(*scopes)}"}
    with stage.engine.begin() as connection:
        record, token = create_key(connection, owner="shop-1", name=kind, scopes=list(Scope))
        if kind == "revoked":
            revoke_key(connection, record.id)
    if kind == "expired":
        stage.shelf.run("UPDATE api_keys SET expires_at = now() WHERE id = :id", id=record.id)
    other = {
        "malformed": "nothing",
        "unknown": "ck_" + "a" * 12 + "_" + "b" * 43,
        "tampered": token[:-1] + ("a" if token[-1] != "a" else "b"),
    }.get(kind, token)
    return {"Authorization": f"{'Basic' if kind == 'basic' else 'Bearer'} {other}"}


def test_every_route_is_in_the_matrix(stage: Stage) -> None:
    app: Any = stage.server.config.app
    assert {(method, route.path) for route in app.state.routes for method in route.methods} == set(ROUTES)


@pytest.mark.parametrize("kind", KEYS)
def test_what_each_key_may_do(stage: Stage, kind: str) -> None:
    client = stage.client(token="none")
    client.headers.pop("Authorization")
    header = make_header(stage, kind)
    scopes = KEYS[kind]
    before = count(stage)
    for (method, path), (given, needed, allowed) in ROUTES.items():
        names = dict.fromkeys(("cart_id", "checkout_id", "order_id", "change_id"), UNKNOWN_ID)
        address = path.format(**names, gateway="other", action="cancel")
        headers = {**given.get("headers", {}), **header}
        answer = client.request(method, address, **{**given, "headers": headers})
        expected = allowed if needed is None else 401 if scopes is None else allowed if needed in scopes else 403
        assert (method, path, answer.status_code) == (method, path, expected), answer.text
    after = count(stage)
    # The one stored response is that of the authorised request.
    after["stored_responses"] -= int(scopes is not None and Scope.CHECKOUT in scopes)
    assert after == before


def ask_everything(client: httpx2.Client, cart_id: str, checkout_id: str) -> list[httpx2.Response]:
    """Return what a client hears of a cart and a checkout, whatever it wants of them."""
    return [
        client.get("/checkout", params={"cart_id": cart_id}),
        pay(client, {"checkout_id": checkout_id}),
        pay(client, {"cart_id": cart_id}),
        client.get("/checkout/status", params={"checkout_id": checkout_id}),
        client.get("/checkout/status", params={"cart_id": cart_id}),
        client.post("/checkout/cancel", json={"checkout_id": checkout_id}),
        client.post("/checkout/cancel", json={"cart_id": cart_id}),
        client.get(f"/carts/{cart_id}"),
    ]


@pytest.mark.parametrize("token", ["tok_ok", "tok_action_required"])
def test_one_owner_never_meets_another(stage: Stage, cup: httpx2.Client, token: str) -> None:
    # Given one owner's cart and checkout, waiting for the buyer's money, or for the buyer's bank
    other = stage.client(owner="shop-2")
    cart_id = str(put_cart(cup, ("cup", 1)))
    checkout_id = start(cup, UUID(cart_id)).json()["checkout_id"]
    if token == "tok_action_required":
        assert pay(cup, {"checkout_id": checkout_id}, token=token).json()["state"] == "action_required"
    before = count(stage)
    # When the other tries everything
    answers = ask_everything(other, cart_id, checkout_id)
    # Then the response is exactly the one for an unknown id
    assert [answer.status_code for answer in answers] == [404] * 8
    heard = [answer.text.replace(checkout_id, UNKNOWN_ID).replace(cart_id, UNKNOWN_ID) for answer in answers]
    assert heard == [answer.text for answer in ask_everything(other, UNKNOWN_ID, UNKNOWN_ID)]
    # When the other writes a cart of that id
    assert other.put(f"/carts/{cart_id}", json=BODY).status_code == 404
    assert pay(other, {"cart": {"id": cart_id, **BODY}}).status_code == 404
    # Then nothing has happened: only responses to payments are stored
    assert count(stage) == {**before, "stored_responses": before["stored_responses"] + 5}
    states = {"tok_ok": "awaiting_payment", "tok_action_required": "action_required"}
    assert cup.get("/checkout/status", params={"checkout_id": checkout_id}).json()["state"] == states[token]


def test_a_cart_without_an_owner_is_locked_without_naming_the_checkout(stage: Stage, cup: httpx2.Client) -> None:
    cart_id = stage.shelf.add_cart(("cup", 1))
    other = stage.client(owner="shop-2")
    checkout_id = start(cup, cart_id).json()["checkout_id"]
    for answer in (other.get("/checkout", params={"cart_id": str(cart_id)}), other.put(f"/carts/{cart_id}", json=BODY)):
        assert (answer.status_code, answer.json()["code"]) == (423, "cart_locked")
        assert answer.json()["facts"]["locked_by"] == "another owner's checkout"
        assert checkout_id not in answer.text
    seen = other.get(f"/carts/{cart_id}").json()
    assert (seen["locked"], seen["locked_by"], seen["checkout_id"]) == (True, "another owner", None)
    idle = other.get("/checkout/status", params={"cart_id": str(cart_id)}).json()
    assert (idle["locked"], idle["can_checkout"], idle["checkout_id"]) == (True, False, None)
    assert idle["message"] == "The cart cannot be checked out now."


AMOUNTS: Final[dict[str, dict[str, Any]]] = {
    "price": {"lines": [{"sku": "cup", "quantity": 1, "unit_price_minor": 1}]},
    "discount": {"lines": [{"sku": "cup", "quantity": 1, "discounts": [{"text": "x", "amount_minor": 1}]}]},
    "tax": {"lines": [{"sku": "cup", "quantity": 1, "taxes": [{"name": "x", "rate": "0", "amount_minor": 0}]}]},
    "no tax": {"lines": [{"sku": "cup", "quantity": 1, "taxes": []}]},
    "shipping": {"lines": [{"sku": "cup", "quantity": 1}], "shipping": {"amount_minor": 0}},
}


@pytest.mark.parametrize("amounts", AMOUNTS.values(), ids=AMOUNTS.keys())
def test_amounts_of_ones_own_need_their_scope(stage: Stage, cup: httpx2.Client, amounts: dict[str, Any]) -> None:
    body = {"currency": "EUR", "shipping_address": ADDRESS, **amounts}
    cart_id = uuid4()
    before = count(stage)
    answers = [cup.put(f"/carts/{cart_id}", json=body), pay(cup, {"cart": {"id": str(cart_id), **body}})]
    for answer in answers:
        assert (answer.status_code, answer.json()["facts"]["scope"]) == (403, "prices")
    assert count(stage) == before
    assert stage.client(Scope.CHECKOUT, Scope.PRICES).put(f"/carts/{cart_id}", json=body).status_code == 201
