"""A rejected message is stored for an operator, without secrets."""

import json

from sqlalchemy import Engine
from structlog.testing import capture_logs

from pipeline.errors import Code
from pipeline.messaging.rejected_messages import keep_rejected_message, record_rejected_message
from pipeline.security.redaction import MAX_KEPT
from tests.support.harness import Shelf


def keep(engine: Engine, *bodies: str) -> None:
    """Record refusals of these bodies."""
    with engine.begin() as connection:
        for body in bodies:
            record_rejected_message(connection, queue="q", body=body, code=Code.MESSAGE_INVALID, message="m")


def test_what_a_buyer_pays_with_is_not_kept(engine: Engine, shelf: Shelf) -> None:
    # Given the same purchase in every dress that it comes in
    card = {"number": "4242 4242 4242 4242", "CVC2": 987, "holder": "Ada"}
    purchase = {"owner": "shop-1", "payment": {"token": "tok_visa_1", "card": card}, "reference": "4711"}
    envelope = {"queue_name": "checkout.intake", "args": [purchase], "options": {"authorization": "Bearer abcdefgh1"}}
    dresses = [
        json.dumps(envelope),
        json.dumps({"body": json.dumps(envelope)}),
        json.dumps(envelope)[:-2],
        repr(envelope),
        json.dumps(json.dumps(json.dumps(purchase))),
    ]
    # When
    keep(engine, *dresses)
    # Then
    kept = [row[0] for row in shelf.rows("SELECT body FROM rejected_messages ORDER BY id")]
    assert len(kept) == 5
    for body in kept:
        for secret in ("4242", "987", "tok_visa_1", "abcdefgh1"):
            assert secret not in body, body
        # What an operator needs is there.
        assert "shop-1" in body
        assert "4711" in body
    assert json.loads(kept[0])["args"][0]["payment"]["card"]["holder"] == "Ada"


def test_a_message_of_a_megabyte_is_kept_in_part(engine: Engine, shelf: Shelf) -> None:
    keep(engine, json.dumps({"lines": ["x" * 50] * 20_000}), "y" * 1_000_000)
    lengths = [row[0] for row in shelf.rows("SELECT char_length(body) FROM rejected_messages ORDER BY id")]
    assert len(lengths) == 2
    assert all(MAX_KEPT - 700 <= length <= MAX_KEPT for length in lengths), lengths


def test_a_refusal_is_kept_with_the_sentence_of_its_code(engine: Engine, shelf: Shelf) -> None:
    with capture_logs() as logged:
        facts = {"reason": "the card 4242424242424242 is in it"}
        keep_rejected_message(engine, queue="q", body="{}", code=Code.MESSAGE_INVALID, facts=facts)
    [(queue, body, code, message)] = shelf.rows("SELECT queue, body, code, message FROM rejected_messages")
    assert (queue, body, code) == ("q", "{}", "message_invalid")
    assert "4242" not in message
    assert [(each["event"], each["queue"], each["reason"]) for each in logged] == [("message.rejected", "q", message)]
