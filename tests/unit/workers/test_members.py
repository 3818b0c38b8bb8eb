"""One message, checked before it may join a batch."""

import json
from functools import partial
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from workers.broker.message_validation import MemberOption, QueuedMessage, UnfitMessage, read_member

ID = "0193f6a0-7b5e-7c3d-8a4b-0c1d2e3f4a5b"


def _do_nothing(*args: Any) -> None:
    pass


@pytest.fixture
def actors() -> dict[str, dramatiq.Actor[..., Any]]:
    """Two actors on queues of their own."""
    broker = StubBroker(middleware=[MemberOption()])
    declare = partial(dramatiq.actor, broker=broker)
    declare(actor_name="price_lock", queue_name="checkout.price_lock")(_do_nothing)
    declare(actor_name="intake", queue_name="checkout.intake", member="request")(_do_nothing)
    return broker.actors


def _encode(**changes: Any) -> bytes:
    body = {"queue_name": "checkout.price_lock", "actor_name": "price_lock", "args": [ID], "kwargs": {}, "options": {}}
    return json.dumps(body | changes).encode()


def test_an_id_is_passed_on_in_its_usual_form(actors: dict[str, Any]) -> None:
    # When, then
    assert read_member(_encode(), "checkout.price_lock", actors) == QueuedMessage("price_lock", ID)
    assert read_member(_encode(args=[ID.upper()]), "checkout.price_lock", actors) == QueuedMessage("price_lock", ID)
    assert read_member(_encode(args=[ID.replace("-", "")]), "checkout.price_lock", actors) == QueuedMessage(
        "price_lock", ID
    )


def test_a_request_is_passed_on_as_it_is(actors: dict[str, Any]) -> None:
    # When
    found = read_member(_encode(actor_name="intake", args=[{"a": [1]}]), "checkout.intake", actors)

    # Then
    assert found == QueuedMessage("intake", {"a": [1]})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_encode(actor_name=7), "its actor_name is not a string"),
        (_encode(actor_name=["price_lock"]), "its actor_name is not a string"),
        (_encode(actor_name="\ud800"), r"this queue has no actor '\ud800'"),
        (_encode(actor_name="x" * 500), f"this queue has no actor '{'x' * 200} [cut]'"),
        (_encode(actor_name="intake"), "this queue has no actor 'intake'"),
        (_encode(kwargs={"a": 1}), "it has keyword arguments; send one positional argument"),
        (_encode(args=[]), "it has 0 arguments; send one"),
        (_encode(args=[ID, ID]), "it has 2 arguments; send one"),
        (_encode(args=ID), "it has 36 arguments; send one"),
        (_encode(args=[7]), "its argument is not the id of a checkout"),
        (_encode(args=[None]), "its argument is not the id of a checkout"),
        (_encode(args=[[ID]]), "its argument is not the id of a checkout"),
        (_encode(args=["7"]), "its argument is not the id of a checkout"),
        (_encode(args=[f"{ID}0"]), "its argument is not the id of a checkout"),
    ],
    ids=range(14),
)
def test_a_message_that_fits_no_actor_is_refused(actors: dict[str, Any], data: bytes, reason: str) -> None:
    # When, then
    assert read_member(data, "checkout.price_lock", actors) == UnfitMessage(
        "checkout.price_lock", data.decode(), reason
    )


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"7", b"{}", b"\xff\x00", b'{"args":', b"[" * 100_000, b"9" * 5000], ids=range(9)
)
def test_what_is_no_message_is_refused_in_a_form_any_database_stores(actors: dict[str, Any], data: bytes) -> None:
    # When
    found = read_member(data, "checkout.price_lock", actors)

    # Then
    assert isinstance(found, UnfitMessage)
    assert found.reason.startswith("it is not a message: ")
    assert len(found.reason) < 1000
    assert found.reason.isascii()
    assert "\x00" not in found.body
    assert found.body.encode().decode() == found.body


def test_unknown_fields_of_a_message_are_refused_not_ignored(actors: dict[str, Any]) -> None:
    # When
    found = read_member(_encode(retries=3), "checkout.price_lock", actors)

    # Then
    assert isinstance(found, UnfitMessage)
    assert "retries" in found.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_encode(actor_name="4242 4242 4242 4242"), "this queue has no actor '[card number removed]'"),
        (
            _encode(**{"4242424242424242": 1}),
            "it is not a message: \"Message.__init__() got an unexpected keyword argument '[card number removed]'\"",
        ),
        (
            _encode(actor_name="x" * 190 + " 4242424242424242"),
            f"this queue has no actor '{'x' * 190} [card number removed] [cut]'",
        ),
        (b'"4242424242424242', r"""it is not a message: 'failed to decode message \'"[card number removed]\''"""),
        (
            b'"4242\\u00a04242-42424242',
            r"""it is not a message: 'failed to decode message \'"[card number removed]\''""",
        ),
    ],
    ids=range(5),
)
def test_a_reason_quotes_no_card_number(actors: dict[str, Any], data: bytes, reason: str) -> None:
    # When
    found = read_member(data, "checkout.price_lock", actors)

    # Then
    assert isinstance(found, UnfitMessage)
    assert found.reason == reason
    assert found.has_secret


def test_a_message_without_a_card_number_may_be_dead_lettered(actors: dict[str, Any]) -> None:
    # When
    found = read_member(_encode(args=[{"é": 4242424242424241}]), "checkout.price_lock", actors)

    # Then
    assert isinstance(found, UnfitMessage)
    assert not found.has_secret
