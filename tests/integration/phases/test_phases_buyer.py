"""The payment phases, with a required buyer action, and batches of all kinds."""

from uuid import UUID

import pytest
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.invariants import BankTotals
from tests.integration.phases.payers import CAPTURED, OPERATIONS, read_failure, start
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import NOTHING, RESTING, read_bank, read_events, settle

HELD = BankTotals(500, 0, 0)


def approve(works: Works, shelf: Shelf, checkout_id: UUID, *, says_yes: bool) -> None:
    reference = shelf.row("SELECT reference FROM payments WHERE checkout_id = :id", id=checkout_id).reference
    assert isinstance(works.gateway, SandboxGateway)
    (works.gateway.approve if says_yes else works.gateway.refuse)(reference)


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
    assert read_bank(engine, checkout_id) == CAPTURED


def test_a_buyer_who_refuses_at_the_bank_may_use_another_card(works: Works, shelf: Shelf, engine: Engine) -> None:
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
    assert read_bank(engine, checkout_id) == CAPTURED


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


def test_a_provider_that_never_answers_unwinds_a_checkout_before_the_pivot(
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
        "tok_ok": ("completed", CAPTURED),
        "tok_declined": ("failed", NOTHING),
        "tok_capture_declined": ("failed", NOTHING),
        "tok_authorize_timeout_after": ("completed", CAPTURED),
        "tok_capture_timeout_before": ("completed", CAPTURED),
        "tok_capture_timeout_after": ("completed", CAPTURED),
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
