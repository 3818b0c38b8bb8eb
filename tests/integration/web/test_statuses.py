"""Every status that the edge can give, each as its own kind of problem."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from pipeline.errors import Code
from pipeline.keys import Scope
from pipeline.settings import Settings
from tests.harness import ADDRESS
from tests.integration.web.outages import NOBODY, listen_and_say_nothing, open_edge
from tests.integration.web.stage import Stage, find_url, pay, put_cart, serve, start
from workers.web.statuses import STATUSES, TITLES

CARD = "4242424242424242"
BODY = {"currency": "EUR", "lines": [{"sku": "cup", "quantity": 1}], "shipping_address": ADDRESS}
COUNTS = ("carts", "checkouts", "request_keys", "request_answers", "payments", "webhook_inbox", "events")


def count(stage: Stage) -> dict[str, int]:
    """Return how many rows there are of what a request may write."""
    return {table: stage.shelf.row(f"SELECT count(*) AS n FROM {table}").n for table in COUNTS}


def check(answer: httpx2.Response, status: int, code: str, detail: str, **others: Any) -> None:
    """Assert that an answer is this problem, whole."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    body = answer.json()
    facts = body.pop("facts")
    assert {key: others[key] for key in others if key != "facts"} == {
        key: body.pop(key) for key in others if key != "facts"
    }
    assert body == {
        "type": f"urn:checkout:problem:{code}",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "code": code,
    }
    assert answer.status_code == status
    assert facts == others.get("facts", facts)


@pytest.fixture
def unchanged(stage: Stage) -> Iterator[None]:
    """Nothing is written by what is refused."""
    stage.shelf.add_variant("cup", stock=5, price_minor=250)
    before = count(stage)
    yield
    assert count(stage) == before


def test_every_code_has_a_status_and_every_status_a_title() -> None:
    assert set(STATUSES) == set(Code)
    assert set(STATUSES.values()) == set(TITLES)


def test_200_201_202(stage: Stage) -> None:
    stage.shelf.add_variant("cup", stock=5, price_minor=250)
    client = stage.client()
    cart_id = uuid4()
    assert [client.put(f"/carts/{cart_id}", json=BODY).status_code for _ in range(2)] == [201, 200]
    answer = client.get("/checkout", params={"cart_id": str(cart_id)})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/checkout/status?checkout_id={answer.json()['checkout_id']}"
    assert answer.headers["retry-after"] == "1"
    assert start(client, cart_id).status_code == 200


@pytest.mark.usefixtures("unchanged")
def test_400_without_an_idempotency_key(stage: Stage) -> None:
    sentence = "A payment or a queued message needs an idempotency key: send one unique to this purchase."
    for headers in ({}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 256}, {"Idempotency-Key": '"'}):
        answer = stage.client().post(
            "/checkout", json={"cart_id": str(uuid4()), "payment": {"token": "t"}}, headers=headers
        )
        check(answer, 400, "idempotency_key_required", sentence)


@pytest.mark.usefixtures("unchanged")
def test_401_names_the_scheme(stage: Stage) -> None:
    answer = stage.client(token="nothing").get("/checkout/status", params={"cart_id": str(uuid4())})
    check(
        answer,
        401,
        "api_key_invalid",
        "The request carries no valid API key: send `Authorization: Bearer` and a live one.",
    )
    assert answer.headers["www-authenticate"] == 'Bearer realm="checkout"'
    assert "ratelimit" not in answer.headers


def test_402_is_a_declined_card(stage: Stage) -> None:
    stage.shelf.add_variant("cup", stock=5, price_minor=250)
    answer = pay(stage.client(), {"cart_id": put_cart(stage.client(), ("cup", 1))}, token="tok_insufficient_funds")
    [(checkout_id,)] = stage.shelf.rows("SELECT id FROM checkouts")
    sentence = "The payment was declined (insufficient_funds): try another payment method."
    check(answer, 402, "payment_declined", sentence, checkout_id=str(checkout_id), phase="payment_authorization")
    assert stage.shelf.stock("cup") == (5, 0)


@pytest.mark.usefixtures("unchanged")
def test_403_names_the_scope(stage: Stage) -> None:
    answer = stage.client(Scope.PRICES).get("/checkout/status", params={"cart_id": str(uuid4())})
    sentence = "The API key lacks the scope checkout (this address needs it): use one that has it."
    check(answer, 403, "scope_missing", sentence, facts={"scope": "checkout", "why": "this address needs it"})
    assert answer.headers["ratelimit-policy"] == '"key";q=600;w=60'


@pytest.mark.usefixtures("unchanged")
def test_404_of_an_address_a_cart_and_a_checkout(stage: Stage) -> None:
    client, nobody = stage.client(), str(uuid4())
    sentence = "There is nothing at this address: /openapi.json lists what there is."
    check(client.get("/nowhere"), 404, "route_unknown", sentence)
    sentence = f"There is no cart {nobody}: create it first, then start its checkout."
    check(client.get(f"/carts/{nobody}"), 404, "cart_unknown", sentence)
    assert start(client, uuid4()).json()["code"] == "cart_unknown"
    sentence = f"There is no checkout {nobody} of this owner: check the id."
    answer = client.get("/checkout/status", params={"checkout_id": nobody})
    check(answer, 404, "checkout_unknown", sentence, checkout_id=nobody)


@pytest.mark.usefixtures("unchanged")
def test_405_lists_what_is_possible(stage: Stage) -> None:
    answer = stage.client().delete("/checkout")
    check(answer, 405, "method_not_allowed", "DELETE is not possible here: use GET, POST.")
    assert answer.headers["allow"] == "GET, POST"


def test_409_is_sold_out(stage: Stage) -> None:
    stage.shelf.add_variant("cup", stock=1, price_minor=250)
    answer = pay(stage.client(), {"cart_id": put_cart(stage.client(), ("cup", 2))})
    [(checkout_id,)] = stage.shelf.rows("SELECT id FROM checkouts")
    facts = answer.json()["facts"]
    assert (facts["sku"], facts["requested"], facts["available"]) == ("cup", 2, 1)
    sentence = "Of cup, 2 were asked for and 1 are left: ask for fewer."
    check(answer, 409, "out_of_stock", sentence, checkout_id=str(checkout_id), phase="cart_validation")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("chunked", [False, True])
def test_413_of_a_body_that_is_too_large(stage: Stage, *, chunked: bool) -> None:
    limit = stage.settings.web_max_body_bytes
    body = b'{"currency": "' + b"x" * limit + b'"}'
    content = (body[at : at + 65536] for at in range(0, len(body), 65536)) if chunked else body
    answer = stage.client().put(f"/carts/{uuid4()}", content=content, headers={"Content-Type": "application/json"})
    check(answer, 413, "body_too_large", f"The body has more than {limit} bytes: send less.")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_415_of_a_body_that_is_not_json(stage: Stage, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    answer = stage.client().post("/checkout/cancel", content=b'{"cart_id": 1}', headers=headers)
    sentence = "The body is not application/json: send JSON, and say so in Content-Type."
    check(answer, 415, "media_type_unsupported", sentence)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "body.1: JSON decode error"),
        (b"[]", "body: Input should be a valid dictionary or object to extract fields from"),
        (b"{}", "body: Value error, name either a checkout or one cart"),
        (b'{"cart_id": "x", "payment": {"token": "t"}}', "body.cart_id: Input should be a valid UUID"),
        (b'{"cart_id": "%(id)s"}', "body: Value error, a cart is paid at once with payment"),
        (b'{"cart_id": "%(id)s", "checkout_id": "%(id)s"}', "body: Value error, name either a checkout or one cart"),
        (
            b'{"checkout_id": "%(id)s", "payment": {"token": "\\u0000"}}',
            "body.payment.token: Value error, it contains a NUL",
        ),
        (
            b'{"checkout_id": "%(id)s", "expected_total_minor": "1"}',
            "body.expected_total_minor: Input should be a valid integer",
        ),
        (
            b'{"checkout_id": "%(id)s", "expected_total_minor": 1.5}',
            "body.expected_total_minor: Input should be a valid integer",
        ),
        (b'{"checkout_id": "%(id)s", "reference": "\\ud800"}', "body.reference: "),
    ],
)
def test_422_names_the_field_and_repeats_nothing(stage: Stage, body: bytes, reason: str) -> None:
    sent = body.replace(b"%(id)s", str(uuid4()).encode())
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = stage.client().post("/checkout", content=sent, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert answer.json()["detail"].startswith(f"The request is not valid: {reason}")


@pytest.mark.usefixtures("unchanged")
def test_422_of_a_card_number_that_stands_nowhere_afterwards(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    for spelling in (CARD, "4242 4242 4242 4242", int(CARD)):
        body = {"cart_id": str(uuid4()), "payment": {"token": spelling}}
        answer = stage.client().post("/checkout", json=body, headers={"Idempotency-Key": "k"})
        sentence = "The payment token looks like a card number: send the provider's token, never the number."
        check(answer, 422, "card_number_refused", sentence)
    answer = stage.client().post("/checkout", json={"cart_id": CARD}, headers={"Idempotency-Key": "k"})
    assert CARD not in answer.text
    said = capfd.readouterr()
    assert CARD not in said.out + said.err


def test_423_of_a_locked_cart(stage: Stage) -> None:
    stage.shelf.add_variant("cup", stock=5, price_minor=250)
    client = stage.client()
    cart_id = put_cart(client, ("cup", 1))
    checkout = start(client, cart_id).json()
    before = count(stage)
    answer = client.put(f"/carts/{cart_id}", json=BODY)
    until = checkout["expires_at"].replace("Z", "+00:00")
    holder = f"checkout {checkout['checkout_id']}"
    sentence = f"Cart {cart_id} is locked by {holder} until {until}: try again after that."
    check(answer, 423, "cart_locked", sentence, checkout_id=checkout["checkout_id"])
    assert count(stage) == before


def test_429_and_what_is_left(stage: Stage, edge_settings: Settings) -> None:
    few = edge_settings.model_copy(update={"web_requests_per_minute": 3})
    with serve(few) as server, httpx2.Client(base_url=find_url(server)) as client:
        headers = {"Authorization": f"Bearer {stage.token(Scope.CHECKOUT)}"}
        nobody = {"cart_id": str(uuid4())}
        answers = [client.get("/checkout/status", params=nobody, headers=headers) for _ in range(4)]
        others = {"Authorization": f"Bearer {stage.token(Scope.CHECKOUT, owner='shop-2')}"}
        other = client.get("/checkout/status", params=nobody, headers=others)
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    left = [answer.headers["ratelimit"].partition(";t=")[0] for answer in [*answers, other]]
    assert left == [f'"key";r={n}' for n in (2, 1, 0, 0, 2)]
    seconds = int(answers[3].headers["retry-after"])
    assert 1 <= seconds <= 60
    sentence = f"More than 3 requests a minute came with this API key: wait {seconds} s."
    check(answers[3], 429, "rate_limited", sentence)


@pytest.mark.usefixtures("unchanged")
def test_500_tells_nothing_of_its_reason(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fall_over(*_arguments: object, **_more: object) -> None:
        raise LookupError("the secret of the house")

    monkeypatch.setattr(stage.server._edge.engine.door, "read_cart", fall_over)
    answer = stage.client().get(f"/carts/{uuid4()}")
    sentence = "The request could not be handled (LookupError): report it with its idempotency key."
    check(answer, 500, "internal_error", sentence)


@pytest.mark.parametrize("mute", [False, True], ids=["refused", "silent"])
def test_503_when_the_database_is_away(edge_settings: Settings, *, mute: bool) -> None:
    headers = {"Authorization": "Bearer ck_" + "a" * 12 + "_" + "b" * 43}
    with listen_and_say_nothing() as port:
        database = f"postgresql://x@127.0.0.1:{port}/x" if mute else NOBODY
        with open_edge(edge_settings, database=database) as client:
            answer = client.get("/checkout", params={"cart_id": str(uuid4())}, headers=headers)
    check(
        answer,
        503,
        "service_unavailable",
        "The engine cannot work right now: repeat the same request in a few seconds.",
    )
    assert answer.headers["retry-after"] == "2"
