"""Phases 4 and 6 against a bank that declines, times out before or after the effect, and asks for the buyer."""

from uuid import UUID

import pytest
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.books import Totals
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import NOTHING, RESTING, read_bank, read_events, settle

OPERATIONS = "SELECT kind, n, status FROM payment_operations WHERE checkout_id = :id ORDER BY id"

TAKEN = Totals(0, 500, 0)
HELD = Totals(500, 0, 0)
PASSING = ("timeout_before", "timeout_after", "error")


def start(works: Works, shelf: Shelf, token: str | None) -> UUID:
    shelf.add_variant("cup", stock=5, price_minor=250)
    return works.start(shelf.add_cart(("cup", 2)), token=token)


def approve(works: Works, shelf: Shelf, checkout_id: UUID, *, says_yes: bool) -> None:
    reference = shelf.row("SELECT reference FROM payments WHERE checkout_id = :id", id=checkout_id).reference
    assert isinstance(works.gateway, SandboxGateway)
    (works.gateway.approve if says_yes else works.gateway.refuse)(reference)


def read_failure(works: Works, checkout_id: UUID) -> tuple[str, str | None, str]:
    failure = works.status(checkout_id).failure
    assert failure is not None
    return failure.code, failure.phase, failure.message


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("verb", ["open", "authorize", "capture"])
def test_an_unknown_outcome_is_asked_again_and_ends_in_one_charge(
    works: Works, shelf: Shelf, engine: Engine, verb: str, fault: str
) -> None:
    # Given
    checkout_id = start(works, shelf, f"tok_{verb}_{fault}")
    # When
    works.pump()
    # Then nobody calls it a decline
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
    assert read_bank(engine, checkout_id) == TAKEN
    assert shelf.stock("cup") == (3, 0)
    assert works.sweep().resent == 0


@pytest.mark.parametrize("fault", PASSING)
def test_an_unknown_cancellation_is_asked_again(works: Works, shelf: Shelf, engine: Engine, fault: str) -> None:
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
        "The authorised payment could not be taken (capture_declined): start again with another one.",
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
    assert read_bank(engine, checkout_id) == TAKEN
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
    assert works.status(checkout_id).tries == 3
    assert read_failure(works, checkout_id)[0] == "payment_declined"
    assert read_bank(engine, checkout_id) == NOTHING
    assert shelf.stock("cup") == (5, 0)


@pytest.mark.parametrize("token", ["tok_ok", None])
def test_a_buyer_who_approves_at_the_bank_gets_the_order(
    works: Works, shelf: Shelf, engine: Engine, token: str | None
) -> None:
    # Given
    checkout_id = start(works, shelf, None if token is None else "tok_action_required")
    works.pump()
    if token is None:
        works.pay(checkout_id, "tok_action_required")
        works.pump()
    # Then
    status = works.status(checkout_id)
    assert status.state == "action_required"
    assert status.action is not None
    assert status.action["type"] == "redirect"
    # When nothing has happened at the bank yet
    works.service.resume(checkout_id, OWNER)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["action_required"]
    # When
    approve(works, shelf, checkout_id, says_yes=True)
    works.service.resume(checkout_id, OWNER)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert works.status(checkout_id).action is None
    assert read_bank(engine, checkout_id) == TAKEN


def test_a_buyer_who_refuses_at_the_bank_may_try_another_card(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    checkout_id = start(works, shelf, None)
    works.pump()
    works.pay(checkout_id, "tok_action_required")
    works.pump()
    # When
    approve(works, shelf, checkout_id, says_yes=False)
    works.service.resume(checkout_id, OWNER)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["awaiting_payment"]
    assert shelf.stock("cup") == (5, 2)
    # When
    works.pay(checkout_id, "tok_ok")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(engine, checkout_id) == TAKEN


def test_a_buyer_who_refuses_straight_through_is_unwound(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    checkout_id = start(works, shelf, "tok_action_required")
    works.pump()
    # When
    approve(works, shelf, checkout_id, says_yes=False)
    works.service.resume(checkout_id, OWNER)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["failed"]
    assert read_failure(works, checkout_id)[2] == (
        "The payment was declined (authentication_refused): try another payment method."
    )
    assert read_bank(engine, checkout_id) == NOTHING


def test_a_buyer_who_approves_too_late_is_not_charged(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    checkout_id = start(works, shelf, "tok_action_required")
    works.pump()
    approve(works, shelf, checkout_id, says_yes=True)
    assert read_bank(engine, checkout_id) == HELD
    # When
    shelf.run("UPDATE checkouts SET expires_at = now() - interval '1 second'")
    assert works.sweep().expired == 1
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["expired"]
    assert works.service.resume(checkout_id, OWNER).changed is False
    assert read_bank(engine, checkout_id) == NOTHING


def test_a_provider_that_never_answers_turns_a_checkout_back_before_the_pivot(
    works: Works, shelf: Shelf, engine: Engine
) -> None:
    # Given an operation that has been asked as often as it may be
    checkout_id = start(works, shelf, "tok_authorize_error")
    works.pump()
    shelf.run("UPDATE payment_operations SET attempts = 5 WHERE kind = 'authorize'")
    # When
    assert settle(works, [checkout_id], until=RESTING) == [CheckoutState.FAILED]
    # Then
    assert read_failure(works, checkout_id)[0] == "payment_unresolved"
    assert read_bank(engine, checkout_id) == NOTHING
    assert shelf.rows(OPERATIONS, id=checkout_id) == [
        ("open", 1, "succeeded"),
        ("authorize", 1, "declined"),
        ("void", 1, "succeeded"),
    ]


def test_many_payments_of_all_kinds_in_one_batch(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=20, price_minor=250)
    wanted = {
        "tok_ok": ("completed", TAKEN),
        "tok_declined": ("failed", NOTHING),
        "tok_capture_declined": ("failed", NOTHING),
        "tok_authorize_timeout_after": ("completed", TAKEN),
        "tok_capture_timeout_before": ("completed", TAKEN),
        "tok_capture_timeout_after": ("completed", TAKEN),
        "tok_open_declined": ("failed", NOTHING),
    }
    ids = {token: works.start(shelf.add_cart(("cup", 2)), token=token) for token in wanted}
    # When
    settle(works, list(ids.values()))
    # Then
    assert {token: (works.states([each])[0], read_bank(engine, each)) for token, each in ids.items()} == wanted
    assert shelf.stock("cup") == (20 - 8, 0)


def test_a_capture_that_our_keys_do_not_allow_waits_for_a_person_where_it_stands(
    works: Works, shelf: Shelf, engine: Engine
) -> None:
    # Given
    checkout_id = start(works, shelf, "tok_ok+tok_capture_misconfigured")
    # When
    assert settle(works, [checkout_id], until=RESTING) == [CheckoutState.NEEDS_REVIEW]
    # Then the money is authorised and the stock held
    review = works.status(checkout_id).review
    assert review is not None
    assert (review.code, review.phase) == ("gateway_misconfigured", "payment_capture")
    assert read_events(engine, checkout_id)[-1] == ("checkout.needs_review", "payment_capture")
    assert read_bank(engine, checkout_id) == HELD
    assert shelf.stock("cup") == (5, 2)
