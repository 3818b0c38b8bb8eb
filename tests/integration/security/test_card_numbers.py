"""A card number in place of a token: refused on input, and nowhere in the database."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.errors import Code, Invalid
from pipeline.errors.tree import SENTENCES
from pipeline.intake import ProcessRequest, StartRequest
from pipeline.messaging.rejected_messages import record_rejected_message
from pipeline.security.card_numbers import has_card_number
from pipeline.security.redaction import MAX_KEPT
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import assert_refused, take_snapshot

CARDS: Final = [
    "4242424242424242",
    "5555 5555 5555 4444",
    "3782-822463-10005",
    "6011 1111 1111 1117",
    "my card is 4242 4242 4242 4242, 12/29",
]
SENTENCE: Final = SENTENCES[Code.CARD_NUMBER]


def assert_clean(engine: Engine) -> None:
    """Assert that no row of any table, the bank's included, holds a card number."""
    rows = [row for table in take_snapshot(engine, without=()).values() for row in table]
    assert rows != []
    assert [row for row in rows if has_card_number(row)] == []


@pytest.mark.parametrize("card", CARDS)
def test_no_checkout_is_started_with_a_card_number(works: Works, shelf: Shelf, card: str) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    cart_id = shelf.add_cart(("cup", 1))
    body = {"owner": OWNER, "cart_id": str(cart_id), "idempotency_key": "k", "payment": {"token": card}}
    # When, then
    starts: list[Callable[[], object]] = [
        lambda: works.start(cart_id, token=card),
        lambda: works.service.start(StartRequest.model_validate(body)),
        lambda: works.service.start_many([StartRequest.model_validate(body)]),
    ]
    for start in starts:
        assert_refused(works, start, Invalid, "card_number_refused", SENTENCE)
    assert_clean(works.engine)
    # ... and the key is not spent
    checkout_id = works.start(cart_id, token="tok_ok", idempotency_key="k")
    works.pump()
    assert works.states([checkout_id]) == ["completed"]


@pytest.mark.parametrize("card", CARDS)
def test_no_checkout_is_paid_with_a_card_number(works: Works, shelf: Shelf, card: str) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    body = {"owner": OWNER, "checkout_id": checkout_id, "idempotency_key": "k", "payment": {"token": card}}
    # When, then
    pays: list[Callable[[], object]] = [
        lambda: works.pay(checkout_id, card),
        lambda: works.service.process(ProcessRequest.model_validate(body)),
    ]
    for pay in pays:
        assert_refused(works, pay, Invalid, "card_number_refused", SENTENCE)
    assert_clean(works.engine)
    # ... and it can still be paid
    works.pay(checkout_id, idempotency_key="k")
    works.pump()
    assert works.states([checkout_id]) == ["completed"]


@pytest.mark.parametrize("token", ["pm_1N4ZKbLkdIwHu7ixabcd4242", "4242424242424241", str(UUID(int=2**127))])
def test_a_token_that_has_digits_is_none(works: Works, shelf: Shelf, token: str) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 1)), token=token)
    # Then
    assert shelf.rows("SELECT checkout_id, token FROM payments") == [(checkout_id, token)]


def test_a_refused_message_is_kept_without_it_whatever_it_was_refused_for(engine: Engine, shelf: Shelf) -> None:
    # Given bodies that end within a card number, and beyond what is kept
    filling = "x" * (MAX_KEPT - 8)
    bodies = [
        '{"a": "4242 4242 4242 4242"}',
        '{"a": 4242424242424242',
        f"{filling} 4242424242424242",
        "\x00" + CARDS[0],
    ]
    # When
    with engine.begin() as connection:
        for body in bodies:
            record_rejected_message(
                connection, queue="q", body=body, code=Code.MESSAGE_INVALID, message=f"It has {CARDS[1]} in it.\x00"
            )
    # Then
    rows = shelf.rows("SELECT body, message FROM rejected_messages ORDER BY id")
    assert [body for body, _ in rows] == [
        '{"a": "[card number removed]"}',
        '{"a": [card number removed]',
        "x" * (MAX_KEPT - 600),
        "\ufffd[card number removed]",
    ]
    assert {message for _, message in rows} == {"It has [card number removed] in it.\ufffd"}
    assert_clean(engine)
