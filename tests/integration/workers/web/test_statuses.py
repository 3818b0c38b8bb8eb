"""Every status of the HTTP API, each as its own kind of problem; mistakes of bodies are in test_bodies.py."""

import time
from uuid import UUID, uuid4

import httpx2
import pytest

from pipeline.errors import Code
from pipeline.security import Scope
from pipeline.settings import Settings
from tests.integration.workers.web.counting import HALF_PAST
from tests.integration.workers.web.outages import NO_DATABASE, listen_and_say_nothing, open_web
from tests.integration.workers.web.problems import check, count
from tests.integration.workers.web.stage import BODY, Stage, find_url, held_stock, pay, put_cart, serve, start
from workers.web.protection import rate_limits
from workers.web.responses.status_codes import STATUSES, TITLES


def test_every_code_has_a_status_and_every_status_a_title() -> None:
    # Of a message on a queue, and never of a request.
    assert set(Code) - set(STATUSES) == {Code.EXTERNAL_AMOUNTS_REFUSED}
    assert set(STATUSES.values()) == set(TITLES)


def test_200_201_202(stage: Stage, cup: httpx2.Client) -> None:
    cart_id = uuid4()
    assert [cup.put(f"/carts/{cart_id}", json=BODY).status_code for _ in range(2)] == [201, 200]
    with held_stock(stage):
        answer = cup.get("/checkout", params={"cart_id": str(cart_id)})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/checkout/status?checkout_id={answer.json()['checkout_id']}"
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["ratelimit-policy"] == '"writes";q=6000;w=60'
    assert start(cup, cart_id).status_code == 200


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("key", [None, b"", b"x" * 256, b'"', b"a b", "schlüssel".encode(), b"\xff"])
def test_400_without_an_idempotency_key(stage: Stage, key: bytes | None) -> None:
    headers = [] if key is None else [(b"Idempotency-Key", key)]
    body = {"cart_id": str(uuid4()), "payment": {"token": "t"}}
    answer = stage.client().post("/checkout", json=body, headers=headers)
    sentence = "A payment or a queued message needs an idempotency key: send one unique to this purchase."
    check(answer, 400, "idempotency_key_required", sentence)


@pytest.mark.usefixtures("unchanged")
def test_401_names_the_scheme(stage: Stage) -> None:
    answer = stage.client(token="nothing").get("/checkout/status", params={"cart_id": str(uuid4())})
    sentence = "The request carries no valid API key: send `Authorization: Bearer` and a live one."
    check(answer, 401, "api_key_invalid", sentence)
    assert answer.headers["www-authenticate"] == 'Bearer realm="checkout"'
    assert answer.headers["ratelimit-policy"] == '"anonymous";q=100000;w=60'


def test_402_is_a_declined_card(stage: Stage, cup: httpx2.Client) -> None:
    answer = pay(cup, {"cart_id": put_cart(cup, ("cup", 1))}, token="tok_insufficient_funds")
    [(checkout_id,)] = stage.shelf.rows("SELECT id FROM checkouts")
    sentence = "The payment was declined (insufficient_funds): try another payment method."
    check(answer, 402, "payment_declined", sentence, checkout_id=str(checkout_id), phase="payment_authorization")
    assert stage.shelf.stock("cup") == (9, 0)
    assert stage.shelf.rows("SELECT count(*) FROM orders WHERE number IS NOT NULL") == [(0,)]


@pytest.mark.usefixtures("unchanged")
def test_403_names_the_scope(stage: Stage) -> None:
    answer = stage.client(Scope.PRICES).get("/checkout/status", params={"cart_id": str(uuid4())})
    sentence = "The API key lacks the scope checkout (this address needs it): use one with it."
    check(answer, 403, "scope_missing", sentence, facts={"scope": "checkout", "why": "this address needs it"})
    assert answer.headers["ratelimit-policy"] == '"reads";q=30000;w=60'


@pytest.mark.usefixtures("unchanged")
def test_404_of_an_address_a_cart_and_a_checkout(stage: Stage) -> None:
    client, unknown_id = stage.client(), str(uuid4())
    sentence = "There is nothing at this address: /openapi.json lists what there is."
    check(client.get("/nowhere"), 404, "route_unknown", sentence)
    sentence = f"There is no cart {unknown_id}: create it first, then start its checkout."
    check(client.get(f"/carts/{unknown_id}"), 404, "cart_unknown", sentence)
    check(client.get("/checkout", params={"cart_id": unknown_id}), 404, "cart_unknown", sentence)
    sentence = f"There is no checkout {unknown_id} of this owner: check the id."
    answer = client.get("/checkout/status", params={"checkout_id": unknown_id})
    check(answer, 404, "checkout_unknown", sentence, checkout_id=unknown_id)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_slash_too_many_does_not_redirect(stage: Stage, method: str) -> None:
    answer = stage.client().request(method, "/checkout/", headers={"Host": "elsewhere.example"})
    assert (answer.status_code, answer.json()["code"], answer.headers.get("location")) == (404, "route_unknown", None)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/checkout", "GET, POST"), ("POST", f"/carts/{UUID(int=1)}", "GET, PUT"), ("PUT", "/metrics", "GET")],
)
def test_405_lists_what_is_possible(stage: Stage, method: str, path: str, allowed: str) -> None:
    answer = stage.client().request(method, path)
    check(answer, 405, "method_not_allowed", f"{method} is not possible here: use {allowed}.")
    assert answer.headers["allow"] == allowed


def test_409_is_sold_out(stage: Stage, cup: httpx2.Client) -> None:
    answer = pay(cup, {"cart_id": put_cart(cup, ("cup", 10))})
    [(checkout_id,)] = stage.shelf.rows("SELECT id FROM checkouts")
    facts = answer.json()["facts"]
    assert (facts["sku"], facts["requested"], facts["available"]) == ("cup", 10, 9)
    sentence = 'Of "cup", 10 were asked for and 9 are left: ask for fewer.'
    check(answer, 409, "out_of_stock", sentence, checkout_id=str(checkout_id), phase="cart_validation")
    assert stage.shelf.stock("cup") == (9, 0)
    assert stage.shelf.rows("SELECT count(*) FROM payment_operations") == [(0,)]


def test_423_of_a_locked_cart(stage: Stage, cup: httpx2.Client) -> None:
    cart_id = put_cart(cup, ("cup", 2))
    checkout = start(cup, cart_id).json()
    before = count(stage)
    answer = cup.put(f"/carts/{cart_id}", json=BODY)
    until = checkout["expires_at"].replace("Z", "+00:00")
    holder = f"checkout {checkout['checkout_id']}"
    sentence = f"Cart {cart_id} is locked by {holder} until {until}: try again after that."
    check(answer, 423, "cart_locked", sentence, checkout_id=checkout["checkout_id"])
    assert count(stage) == before
    assert stage.shelf.rows("SELECT quantity FROM cart_lines") == [(2,)]


@pytest.mark.usefixtures("unchanged")
def test_429_and_what_is_left(stage: Stage, web_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "read_clock", lambda: HALF_PAST)
    few = web_settings.model_copy(update={"web_reads_per_minute": 3})
    with serve(few) as server, httpx2.Client(base_url=find_url(server)) as client:
        headers = {"Authorization": f"Bearer {stage.token(Scope.CHECKOUT)}"}
        unknown_id = {"cart_id": str(uuid4())}
        answers = [client.get("/checkout/status", params=unknown_id, headers=headers) for _ in range(4)]
        others = {"Authorization": f"Bearer {stage.token(Scope.CHECKOUT, owner='shop-2')}"}
        other = client.get("/checkout/status", params=unknown_id, headers=others)
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    left = [answer.headers["ratelimit"] for answer in [*answers, other]]
    assert left == [f'"reads";r={n};t=30' for n in (2, 1, 0, 0, 2)]
    assert answers[3].headers["retry-after"] == "30"
    check(answers[3], 429, "rate_limited", 'The rate limit "reads" is 3 requests a minute: wait 30 seconds.')


def test_500_does_not_show_its_reason(stage: Stage, cup: httpx2.Client) -> None:
    # Given a table that is not where it was
    cart_id = put_cart(cup, ("cup", 1))
    before = count(stage)
    stage.shelf.run("ALTER TABLE cart_lines RENAME TO mislaid")
    try:
        # When
        answers = [cup.get(f"/carts/{cart_id}"), cup.put(f"/carts/{uuid4()}", json=BODY)]
    finally:
        stage.shelf.run("ALTER TABLE mislaid RENAME TO cart_lines")
    # Then
    sentence = "The request could not be handled (ProgrammingError): report it with its idempotency key."
    for answer in answers:
        check(answer, 500, "internal_error", sentence, facts={"error": "ProgrammingError"})
        assert "cart_lines" not in answer.text
    assert count(stage) == before
    assert cup.get(f"/carts/{cart_id}").status_code == 200


@pytest.mark.parametrize("mute", [False, True], ids=["refused", "silent"])
def test_503_when_the_database_is_away(web_settings: Settings, *, mute: bool) -> None:
    headers = {"Authorization": "Bearer ck_" + "a" * 12 + "_" + "b" * 43}
    with listen_and_say_nothing() as port:
        database = f"postgresql://x@127.0.0.1:{port}/x" if mute else NO_DATABASE
        with open_web(web_settings, database=database) as client:
            began = time.monotonic()
            answer = client.get("/checkout", params={"cart_id": str(uuid4())}, headers=headers)
            seconds = time.monotonic() - began
    sentence = "The engine cannot work right now: repeat the same request in a few seconds."
    check(answer, 503, "service_unavailable", sentence)
    assert answer.headers["retry-after"] == "2"
    # A connection is given up after three seconds.
    assert seconds < 5
