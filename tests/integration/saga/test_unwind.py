"""Unwinds: reasons, endings, and reviews."""

import pytest
from sqlalchemy import Engine

from pipeline.errors import Conflict
from pipeline.gateways import build_gateway
from pipeline.gateways.gateway import Answer, Declined
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.settings import Settings
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import (
    NOTHING,
    Spy,
    build_audited,
    read_bank,
    read_events,
    settle,
    take_snapshot,
)

STARTED = ("checkout.started", None)


def done(phase: str) -> tuple[str, str]:
    return "checkout.phase_completed", phase


def undone(phase: str) -> tuple[str, str]:
    return "checkout.phase_undone", phase


def test_the_whole_way_back_newest_first(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_capture_declined")
    # When
    works.pump()
    # Then
    assert read_events(engine, checkout_id) == [
        STARTED,
        done("cart_validation"),
        done("inventory_reservation"),
        done("price_lock"),
        done("payment_authorization"),
        done("order_creation"),
        ("checkout.unwinding", "payment_capture"),
        undone("payment_capture"),
        undone("order_creation"),
        undone("payment_authorization"),
        undone("price_lock"),
        undone("inventory_reservation"),
        ("checkout.failed", None),
    ]
    # It is polled at the provider in a minute.
    assert shelf.rows("SELECT fence, ending, phase, due_reason, due_at > now() FROM checkouts") == [
        (1, "failed", 0, "scheduled", True)
    ]


def test_a_checkout_that_fails_before_anything_is_reserved_ends_at_once(
    works: Works, shelf: Shelf, engine: Engine
) -> None:
    # Given
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    # When
    works.run_phase("cart_validation")
    # Then
    assert works.states([checkout_id]) == ["failed"]
    assert read_events(engine, checkout_id) == [
        STARTED,
        ("checkout.unwinding", "cart_validation"),
        ("checkout.failed", None),
    ]
    assert works.line.waiting.get("checkout.unwind") is None


def test_an_unwind_survives_lost_messages(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until="payment_capture")
    works.service.cancel(checkout_id, OWNER)
    # When
    works.line.lose_all()
    # Then
    assert settle(works, [checkout_id]) == ["cancelled"]
    assert shelf.rows("SELECT count(*) FROM events WHERE kind = 'sweep.redelivered'") == [(1,)]
    assert read_bank(engine, checkout_id) == NOTHING
    # An undo's own calls are no pivot.
    assert shelf.rows("SELECT pivot_at FROM checkouts") == [(None,)]


def test_a_cart_is_free_again_after_each_ending(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    cart_id = shelf.add_cart(("cup", 2))
    # When
    failed = works.start(cart_id, token="tok_declined")
    works.pump()
    cancelled = works.start(cart_id)
    works.pump()
    works.service.cancel(cancelled, OWNER)
    works.pump()
    expired = works.start(cart_id)
    works.pump()
    shelf.run("UPDATE checkouts SET expires_at = now() - interval '1 second' WHERE id = :id", id=expired)
    works.sweep()
    works.pump()
    completed = works.start(cart_id, token="tok_ok")
    works.pump()
    # Then
    assert works.states([failed, cancelled, expired, completed]) == ["failed", "cancelled", "expired", "completed"]
    assert shelf.stock("cup") == (3, 0)
    assert shelf.rows("SELECT count(*) FROM orders") == [(1,)]


def test_a_refused_cancellation_needs_review_and_a_retry_is_a_new_attempt(
    works: Works, shelf: Shelf, engine: Engine
) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_capture_declined+tok_cancel_declined")
    # When
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert (status.state, status.phases_completed, status.phases_to_undo) == ("needs_review", None, 6)
    assert status.review is not None
    assert (status.review.code, status.review.phase) == ("void_failed", "payment_capture")
    assert status.review.message == (
        "5.00 EUR authorised could not be voided (cancel_declined): void it at the provider, then retry."
    )
    assert read_bank(engine, checkout_id) == BankTotals(500, 0, 0)
    assert shelf.stock("cup") == (5, 2)
    # When another command would end it
    before = take_snapshot(engine)
    with pytest.raises(Conflict) as refusal:
        works.service.cancel(checkout_id, OWNER)
    with pytest.raises(Conflict):
        works.service.release(checkout_id, actor="ops", reason="stuck")
    # Then
    assert (
        str(refusal.value)
        == f"Checkout {checkout_id} needs review by an operator: wait for the result, or ask support."
    )
    assert take_snapshot(engine) == before
    # When it is retried and refused once more
    works.service.retry(checkout_id, actor="ops", reason="called the bank")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["needs_review"]
    # When the bank plays along
    shelf.run("UPDATE payments SET token = 'tok_ok'")
    works.service.retry(checkout_id, actor="ops", reason="called again")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["failed"]
    assert read_bank(engine, checkout_id) == NOTHING
    assert shelf.rows("SELECT n, status FROM payment_operations WHERE kind = 'void' ORDER BY n") == [
        (1, "declined"),
        (2, "declined"),
        (3, "succeeded"),
    ]


def test_a_refused_refund_needs_review(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given a provider that captured the money, denied it, and refuses the refund
    answers: dict[str, Answer] = {"capture": Declined("do_not_honor")}
    spy = Spy(build_gateway(settings), replace=answers.get)
    shelf.add_variant("cup", stock=5)
    with build_audited(engine, settings, spy) as works:
        checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_refund_declined")
        # When
        works.pump()
        # Then
        status = works.status(checkout_id)
        assert (status.state, status.review and status.review.message) == (
            "needs_review",
            "5.00 EUR could not be refunded (refund_declined): refund it at the provider, then retry.",
        )
        assert read_bank(engine, checkout_id) == BankTotals(0, 500, 0)
        # When
        shelf.run("UPDATE payments SET token = 'tok_ok'")
        works.service.retry(checkout_id, actor="ops", reason="called the bank")
        works.pump()
        # Then
        assert works.states([checkout_id]) == ["failed"]
        assert read_bank(engine, checkout_id) == BankTotals(0, 500, 500)
