"""Phases 4 and 6 against a bank that declines, times out before or after the effect, and asks for the buyer."""

import pytest
from sqlalchemy import Engine

from tests.integration.phases.payers import CAPTURED, OPERATIONS, read_failure, start
from tests.support.harness import Shelf, Works
from tests.support.workbench import NOTHING, read_bank, read_events, settle

PASSING = ("timeout_before", "timeout_after", "error")


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("verb", ["open", "authorize", "capture"])
def test_an_unknown_outcome_is_repeated_and_ends_in_one_charge(
    works: Works, shelf: Shelf, engine: Engine, verb: str, fault: str
) -> None:
    # Given
    checkout_id = start(works, shelf, f"tok_{verb}_{fault}")
    # When
    works.pump()
    # Then it is not a decline
    assert works.states([checkout_id]) == ["running"]
    assert shelf.rows(OPERATIONS, id=checkout_id)[-1] == (verb, 1, "unknown")
    # When its time has come
    assert settle(works, [checkout_id]) == ["completed"]
    # Then
    assert shelf.rows(OPERATIONS, id=checkout_id) == [
        ("open", 1, "succeeded"),
        ("authorize", 1, "succeeded"),
        ("capture", 1, "succeeded"),
    ]
    assert read_bank(engine, checkout_id) == CAPTURED
    assert shelf.stock("cup") == (3, 0)
    assert works.sweep().redelivered == 0


@pytest.mark.parametrize("fault", PASSING)
def test_an_unknown_cancellation_is_repeated(works: Works, shelf: Shelf, engine: Engine, fault: str) -> None:
    # Given
    checkout_id = start(works, shelf, f"tok_capture_declined+tok_cancel_{fault}")
    # When
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["unwinding"]
    assert settle(works, [checkout_id]) == ["failed"]
    assert shelf.rows(OPERATIONS, id=checkout_id) == [
        ("open", 1, "succeeded"),
        ("authorize", 1, "succeeded"),
        ("capture", 1, "declined"),
        ("void", 1, "succeeded"),
    ]
    assert read_bank(engine, checkout_id) == NOTHING
    assert shelf.stock("cup") == (5, 0)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_declined", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_authorize_declined", "authorize_declined"),
        ("tok_open_declined", "open_declined"),
        ("pm_card_visa", "token_unknown"),
    ],
)
def test_a_decline_straight_through_unwinds(
    works: Works, shelf: Shelf, engine: Engine, token: str, reason: str
) -> None:
    # Given
    checkout_id = start(works, shelf, token)
    # When
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["failed"]
    assert read_failure(works, checkout_id) == (
        "payment_declined",
        "payment_authorization",
        f"The payment was declined ({reason}): try another payment method.",
    )
    assert read_bank(engine, checkout_id) == NOTHING
    assert shelf.stock("cup") == (5, 0)


def test_a_declined_capture_unwinds_past_the_pivot(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    checkout_id = start(works, shelf, "tok_capture_declined")
    # When
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["failed"]
    assert read_failure(works, checkout_id) == (
        "capture_declined",
        "payment_capture",
        "The authorised payment could not be captured (capture_declined): start again with another one.",
    )
    assert shelf.rows("SELECT pivot_at IS NOT NULL, phase FROM checkouts") == [(True, 0)]
    assert shelf.rows("SELECT state, number FROM orders") == [("cancelled", None)]
    assert read_bank(engine, checkout_id) == NOTHING
    assert shelf.stock("cup") == (5, 0)


def test_a_decline_in_a_started_flow_keeps_the_stock_and_a_second_card_works(
    works: Works, shelf: Shelf, engine: Engine
) -> None:
    # Given
    checkout_id = start(works, shelf, None)
    works.pump()
    # When
    works.pay(checkout_id, "tok_declined")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["awaiting_payment"]
    assert shelf.stock("cup") == (5, 2)
    assert read_bank(engine, checkout_id) == NOTHING
    assert read_events(engine, checkout_id)[-1] == ("payment.declined", "payment_authorization")
    # When
    works.pay(checkout_id, "tok_ok")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows(OPERATIONS, id=checkout_id) == [
        ("open", 1, "succeeded"),
        ("authorize", 1, "declined"),
        ("authorize", 2, "succeeded"),
        ("capture", 1, "succeeded"),
    ]
    assert read_bank(engine, checkout_id) == CAPTURED
    assert shelf.stock("cup") == (3, 0)


def test_three_declines_unwind(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    checkout_id = start(works, shelf, None)
    works.pump()
    # When
    states = []
    for _ in range(3):
        works.pay(checkout_id, "tok_declined")
        works.pump()
        states += works.states([checkout_id])
    # Then
    assert states == ["awaiting_payment", "awaiting_payment", "failed"]
    assert works.status(checkout_id).payment_attempts == 3
    assert read_failure(works, checkout_id)[0] == "payment_declined"
    assert read_bank(engine, checkout_id) == NOTHING
    assert shelf.stock("cup") == (5, 0)
