"""Where a card number may come in or go out: a payment, a sentence, a refused body, a log line."""

import json
import logging
import subprocess
import sys
from typing import Any, Final
from uuid import UUID

import pytest
import structlog
from pydantic import ValidationError

from pipeline.errors import Code, Invalid, Refused
from pipeline.errors.tree import SENTENCES
from pipeline.intake import PaymentInput, ProcessRequest, StartRequest
from pipeline.security.card_numbers import REMOVED, has_card_number
from pipeline.security.redaction import redact as redact_body
from workers.intake import read_request
from workers.logs import RedactedRecord, redact_event

CARD: Final = "4242424242424242"
WIDE_CARD: Final = "".join(chr(0xFF10 + int(digit)) for digit in CARD)
ID: Final = "0190a000-0000-7000-8000-000000000001"


@pytest.mark.parametrize("card", [CARD, "3782-822463-10005", WIDE_CARD])
@pytest.mark.parametrize(
    "shape",
    [
        lambda card: {"token": card},
        lambda card: {"token": f"pay with {card}!"},
        lambda card: {"token": card + " " + "x" * 300},
        lambda card: {"token": {"number": card, "cvc": "123"}},
        lambda card: {"token": [card]},
        lambda card: {"token": card.encode()},
        lambda card: {"token": "tok_ok", "number": card},
        lambda card: {"number": card},
        lambda card: {card: "tok_ok"},
        lambda card: card,
        lambda card: [{"token": card}],
        lambda card: PaymentInput.model_construct(token=card),
    ],
    ids=range(12),
)
def test_a_card_number_in_place_of_a_token_comes_before_whatever_else_is_wrong(card: str, shape: Any) -> None:
    payment = shape(card)
    for refuse in (
        lambda: PaymentInput.model_validate(payment),
        lambda: StartRequest(owner="shop-1", cart_id=UUID(ID), idempotency_key="k", payment=payment),
        lambda: StartRequest.model_validate({"payment": payment, "ttl_seconds": "long"}),
        lambda: ProcessRequest.model_validate({"payment": payment}),
    ):
        with pytest.raises(Invalid) as refusal:
            refuse()
        assert refusal.value.code == "card_number_refused"
        assert str(refusal.value) == SENTENCES[Code.CARD_NUMBER]
        assert card not in repr(refusal.value)


def test_a_number_instead_of_a_text_is_found_too() -> None:
    with pytest.raises(Invalid):
        PaymentInput.model_validate({"token": int(CARD)})
    with pytest.raises(Invalid):
        PaymentInput.model_validate_json(f'{{"token": {CARD}}}')
    assert not has_card_number(int(CARD) - 1)


@pytest.mark.parametrize(("levels", "error"), [(3, Invalid), (4, ValidationError), (100_000, ValidationError)])
def test_a_payment_is_searched_to_its_full_depth(levels: int, error: type[Exception]) -> None:
    nested: Any = CARD
    for _ in range(levels):
        nested = [nested]
    with pytest.raises(error) as refused:
        PaymentInput.model_validate({"token": nested})
    assert CARD not in str(refused.value)


def test_no_error_of_a_request_shows_what_was_sent() -> None:
    # Given a card number in a field that is not searched, in a request that is wrong elsewhere
    with pytest.raises(ValidationError) as error:
        StartRequest.model_validate({"reference": CARD, "cart_id": CARD, "expected_hash": [CARD], "owner": ""})
    # Then
    assert error.value.error_count() == 3
    assert CARD not in str(error.value)
    assert CARD not in repr(error.value)


def test_the_sentence_of_a_refused_request_names_none() -> None:
    # Given a card number in the place where it is wrong
    body = {"owner": "shop-1", "cart_id": ID, "idempotency_key": "k", "expected_lines": {CARD: 1}}
    # When
    with pytest.raises(Refused) as refusal:
        read_request(body)
    # Then
    assert refusal.value.code == "request_invalid"
    assert str(refusal.value) == (
        "The request is not valid: expected_lines.[card number removed].[key] must be the number of a line;"
        " correct it and send it again."
    )


def test_a_reference_a_sku_and_a_key_may_look_like_one() -> None:
    line = {"sku": CARD, "quantity": 1}
    cart = {"id": ID, "currency": "EUR", "lines": [line]}
    request = StartRequest.model_validate({"owner": CARD, "cart": cart, "reference": CARD, "idempotency_key": CARD})

    assert (request.owner, request.reference, request.idempotency_key) == (CARD, CARD, CARD)
    assert request.cart is not None
    assert request.cart.lines[0].sku == CARD


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ('{"payment":{"note":"4242424242424242"}}', '{"payment": {"note": "[card number removed]"}}'),
        ('{"payment":{"note":4242424242424242}}', '{"payment": {"note": [card number removed]}}'),
        ('{"a":"x\\n4242-4242-4242-4242 12/29"}', '{"a": "x\\n[card number removed]/29"}'),
        ('{"a":"4242\\u00a04242\\u00a04242\\u00a04242"}', '{"a": "[card number removed]"}'),
        ('"4242\\u00A04242\\u20134242-4242', '"[card number removed]'),
        ('{"a":"\\u0034242424242424242"}', '{"a": "[card number removed]"}'),
        ('{"a":"\\ud800 4242424242424242"}', '{"a": "\\ud800 [card number removed]"}'),
        ('{"a":"4242424242424242","a":"b"}', '{"a":"[card number removed]","a":"b"}'),
        ('{"4242424242424242":"\\u00e9"}', '{"[card number removed]": "é"}'),
        ('{"payment":{"note":"4242 4242 4242 4242"', '{"payment":{"note":"[card number removed]"'),
        ("4242424242424242", "[card number removed]"),
        ("\ufffd\ufffd 4242424242424242\x00", "\ufffd\ufffd [card number removed]\x00"),
        ("[" * 50_000 + CARD, "[" * 50_000 + REMOVED),
    ],
    ids=range(13),
)
def test_a_refused_body_of_any_shape_loses_it(body: str, left: str) -> None:
    assert redact_body(body) == left


@pytest.mark.parametrize("body", ["", "null", '{"a":"\\u00e9\\ud800",  "b":1e400}', '{"a"', "9" * 5000, "[" * 100_000])
def test_a_rejected_body_without_one_stays_as_it_is(body: str) -> None:
    assert redact_body(body) == body


def test_every_text_of_an_event_loses_it() -> None:
    # Given
    event = {
        "event": f"paid with {CARD}",
        "error": ValueError(CARD),
        "body": CARD.encode(),
        "deep": {"list": [CARD, {"more": (CARD, 7)}], "set": {CARD}},
        "none": None,
        "ok": True,
        "seconds": 0.5,
    }
    # When
    left = redact_event(None, "info", event)
    # Then
    assert left == {
        "event": f"paid with {REMOVED}",
        "error": f"ValueError('{REMOVED}')",
        "body": f"b'{REMOVED}'",
        "deep": {"list": [REMOVED, {"more": [REMOVED, 7]}], "set": [REMOVED]},
        "none": None,
        "ok": True,
        "seconds": 0.5,
    }
    assert structlog.processors.JSONRenderer()(None, "info", left) == json.dumps(left)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_process_logs_none(log_format: str) -> None:
    # Given a process of its own: what it sets up stays for its life
    script = f"""
import logging, structlog
from pipeline.settings import Settings
from workers.logs import configure_logs
configure_logs(Settings(database_url="x", redis_url="x", log_format="{log_format}"))
log = structlog.get_logger()
structlog.contextvars.bind_contextvars(token="{CARD}")
log.info("paid.with {CARD}", number=["{CARD}"])
try:
    int("a {CARD}")
except ValueError:
    log.exception("it.raised")
    logging.getLogger("dramatiq").warning("It raised %s.", "{CARD}", exc_info=True)
"""
    # When
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    # Then
    assert done.stderr.count(REMOVED) == 7
    assert CARD not in done.stderr


def test_a_line_of_the_standard_library_loses_it(capsys: pytest.CaptureFixture[str]) -> None:
    # Given
    logger = logging.Logger("dramatiq.worker")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    usual = logging.getLogRecordFactory()
    logging.setLogRecordFactory(RedactedRecord)
    # When
    try:
        logger.info("Received message %s with id %r.", {"token": CARD}, ID)
        logger.error("It raised.", exc_info=ValueError(CARD))
    finally:
        logging.setLogRecordFactory(usual)
    # Then
    assert capsys.readouterr().err.splitlines() == [
        f"Received message {{'token': '{REMOVED}'}} with id '{ID}'.",
        "It raised.",
        f"ValueError: {REMOVED}",
    ]
