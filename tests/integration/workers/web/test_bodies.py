"""Bodies that are refused: too large, of another kind, unreadable, wrong, or with a card's number in them."""

from uuid import uuid4

import pytest

from tests.integration.workers.web.problems import check
from tests.integration.workers.web.stage import Stage

pytestmark = pytest.mark.usefixtures("unchanged")

CARD = "4242424242424242"
JSON = {"Content-Type": "application/json", "Idempotency-Key": "k"}


@pytest.mark.parametrize("chunked", [False, True])
def test_413_of_a_body_that_is_too_large(stage: Stage, *, chunked: bool) -> None:
    limit = stage.settings.web_max_body_bytes
    body = b'{"currency": "' + b"x" * limit + b'"}'
    content = (body[at : at + 65536] for at in range(0, len(body), 65536)) if chunked else body
    answer = stage.client().put(f"/carts/{uuid4()}", content=content, headers=JSON)
    check(answer, 413, "body_too_large", f"The body has more than {limit} bytes: send less.")


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_415_of_a_body_that_is_not_json(stage: Stage, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    answer = stage.client().post("/checkout/cancel", content=b'{"cart_id": 1}', headers=headers)
    sentence = "The body is not application/json: send JSON, and say so in Content-Type."
    check(answer, 415, "media_type_unsupported", sentence)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body is missing"),
        (b"{", "body is not JSON at character 1 (Expecting property name"),
        (b'{"cart_id": secret}', "body is not JSON at character 12 (Expecting value)"),
        (b'{"reference": "\xe9"}', "its body is not text in UTF-8"),
        (b"[" * 100_000, "its body is nested too deeply"),
        (b"[]", "body must be an object"),
        (b'"secret"', "body must be an object"),
        (b"{}", "body: name either a checkout or one cart"),
        (b'{"cart_id": "secret", "payment": {"token": "t"}}', "body.cart_id must be a UUID"),
        (b'{"cart_id": "%(id)s"}', "body: a cart is paid at once with payment"),
        (b'{"cart_id": "%(id)s", "checkout_id": "%(id)s"}', "body: name either a checkout or one cart"),
        (b'{"checkout_id": "%(id)s", "payment": "secret"}', "body.payment must be an object"),
        (b'{"checkout_id": "%(id)s", "payment": {"token": ""}}', "body.payment.token is empty"),
        (
            b'{"checkout_id": "%(id)s", "payment": {"token": "\\u0000secret"}}',
            "body.payment.token: it contains a NUL",
        ),
        (
            b'{"checkout_id": "%(id)s", "expected_total_minor": "secret"}',
            "body.expected_total_minor must be a whole number",
        ),
        (
            b'{"checkout_id": "%(id)s", "expected_total_minor": 1.5}',
            "body.expected_total_minor must be a whole number",
        ),
        (b'{"checkout_id": "%(id)s", "expected_total_minor": -1}', "body.expected_total_minor must be at least 0"),
        (b'{"checkout_id": "%(id)s", "reference": "\\ud800"}', "body.reference "),
    ],
)
def test_422_names_the_field_and_repeats_nothing(stage: Stage, body: bytes, reason: str) -> None:
    sent = body.replace(b"%(id)s", str(uuid4()).encode())
    answer = stage.client().post("/checkout", content=sent, headers=JSON)
    detail = answer.json()["detail"]
    assert detail.startswith(f"The request is not valid: {reason}")
    check(answer, 422, "request_invalid", detail)
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"currency": "XXZ"}, "body.currency: XXZ is not an ISO 4217 currency"),
        ({"currency": "secret"}, "body.currency must be a currency code of three capital letters such as EUR"),
        ({"lines": {}}, "body.lines must be a list"),
        ({"lines": [{"sku": "cup", "quantity": "1"}]}, "body.lines.0.quantity must be a whole number"),
        ({"lines": [{"sku": "cup", "quantity": 2**31}]}, "body.lines.0.quantity must be below"),
        ({"shipping_address": {"secret": "\x00"}}, "body.shipping_address: it contains a NUL"),
        ({"shipping_address": ["secret"]}, "body.shipping_address must be an object"),
    ],
)
def test_422_of_a_cart(stage: Stage, change: dict[str, object], reason: str) -> None:
    body = {"currency": "EUR", "lines": [], **change}
    answer = stage.client().put(f"/carts/{uuid4()}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert answer.json()["detail"].startswith(f"The request is not valid: {reason}")
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "payment", [{"token": CARD}, {"token": "4242 4242 4242 4242"}, {"token": int(CARD)}, {"n": CARD}]
)
def test_422_of_a_card_number_that_stands_nowhere_afterwards(
    stage: Stage, capfd: pytest.CaptureFixture[str], payment: dict[str, object]
) -> None:
    answer = stage.client().post("/checkout", json={"cart_id": str(uuid4()), "payment": payment}, headers=JSON)
    sentence = "The payment token looks like a card number: send the provider's token, never the number."
    check(answer, 422, "card_number_refused", sentence, facts={})
    said = capfd.readouterr()
    assert "4242" not in said.out + said.err


@pytest.mark.parametrize("body", [{"cart_id": CARD}, {"expected_lines": {CARD: -1}}])
def test_a_card_number_in_the_wrong_place_is_not_repeated(
    stage: Stage, capfd: pytest.CaptureFixture[str], body: dict[str, object]
) -> None:
    answer = stage.client().post("/checkout", json=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    said = capfd.readouterr()
    assert CARD not in answer.text + said.out + said.err


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
@pytest.mark.parametrize("place", ["shipping_address", "billing_address"])
def test_422_of_a_number_that_no_database_stores(stage: Stage, place: str, number: str) -> None:
    body = f'{{"currency": "EUR", "lines": [], "{place}": {{"floor": [{number}]}}}}'
    answer = stage.client().put(f"/carts/{uuid4()}", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert "a number that JSON does not have" in answer.json()["detail"]
