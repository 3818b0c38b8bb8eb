"""Requests that share a transaction over HTTP: each gets its own answer, and none waits for another's row lock."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2

from pipeline.security import revoke_key
from pipeline.security.tokens import read_key_id
from tests.integration.workers.web.stage import BODY, Stage, pay, put_cart
from tests.support.rivals import hold


def buy(client: httpx2.Client, token: str, cart: Mapping[str, Any] = BODY) -> tuple[int, str]:
    """Buy what is in this cart, with an id of its own; return the status, and the state or the code."""
    answer = pay(client, {"cart": {**cart, "id": str(uuid4())}}, token=token)
    body = answer.json()
    return answer.status_code, body.get("code") or body["state"]


def test_twenty_buyers_at_once_each_get_their_own_answer(stage: Stage, cup: httpx2.Client) -> None:
    # Given a cup for everybody, good and bad cards, and other mistakes, all in one instant
    stage.shelf.add_variant("pot", stock=20)
    wanted = BODY | {"lines": [{"sku": "pot", "quantity": 1}]}
    tokens = ["tok_ok", "tok_declined"] * 9
    with ThreadPoolExecutor(20) as threads:
        paid = [threads.submit(buy, cup, token, wanted) for token in tokens]
        unknown = threads.submit(pay, cup, {"cart_id": uuid4()})
        late = threads.submit(pay, cup, {"cart": BODY | {"id": str(uuid4())}, "ttl_seconds": 3601})
    # Then
    assert Counter(each.result() for each in paid) == {
        (200, "completed"): 9,
        (402, "payment_declined"): 9,
    }
    assert (unknown.result().status_code, unknown.result().json()["code"]) == (404, "cart_unknown")
    assert (late.result().status_code, late.result().json()["code"]) == (422, "ttl_too_long")
    assert stage.shelf.stock("pot") == (11, 0)
    # Nine responses with an order, nine with a declined card and two refusals are stored, and no lease is left.
    stored = stage.shelf.rows("SELECT status, count(*) FROM stored_responses GROUP BY status ORDER BY status")
    assert stored == [(200, 9), (402, 9), (404, 1), (422, 1)]


def test_a_cart_with_a_row_lock_delays_only_its_own_request(stage: Stage, cup: httpx2.Client) -> None:
    # Given a cart whose row somebody keeps
    cart_id = put_cart(cup, ("cup", 1))
    with ThreadPoolExecutor(6) as threads:
        with hold(stage.engine, "SELECT FROM carts WHERE id = :id FOR UPDATE", id=cart_id):
            blocked = threads.submit(pay, cup, {"cart_id": cart_id})
            # When, then
            others = [threads.submit(buy, cup, "tok_ok") for _ in range(5)]
            assert [each.result() for each in others] == [(200, "completed")] * 5
            assert not blocked.done()
        assert blocked.result().json()["state"] == "completed"


def test_two_with_one_key_in_one_instant_are_one_purchase(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    body = {"cart": BODY | {"id": str(uuid4())}}
    # When
    with ThreadPoolExecutor(4) as threads:
        answers = [each.result() for each in [threads.submit(pay, cup, body, key="one") for _ in range(4)]]
    # Then one has the order, and the others have it too, or are told that it is being processed
    counts = Counter((each.status_code, each.json().get("code")) for each in answers)
    assert counts[200, None] >= 1
    assert counts[200, None] + counts[409, "idempotency_running"] == 4
    assert stage.shelf.stock("cup") == (8, 0)
    assert pay(cup, body, key="one").headers["idempotency-replayed"] == "true"


def test_a_revoked_key_is_refused_from_the_next_request_on(stage: Stage, cup: httpx2.Client) -> None:
    # Given two keys that are used at once
    other = stage.client(owner="shop-2")
    token = stage.tokens["shop-2", next(scopes for owner, scopes in stage.tokens if owner == "shop-2")]
    for client in (cup, other):
        assert client.get("/checkout/status", params={"cart_id": str(uuid4())}).status_code == 404
    # When
    with stage.engine.begin() as connection:
        revoke_key(connection, read_key_id(token) or "")
    # Then
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(each.get, f"/carts/{uuid4()}") for each in (cup, other)]
    assert [each.result().status_code for each in asked] == [404, 401]
