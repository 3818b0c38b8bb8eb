"""An unwind whose calls have no known outcome, and endings."""

import time

import pytest
from sqlalchemy import Engine

from models.states import TERMINAL, CheckoutState
from pipeline.gateways import build_gateway
from pipeline.gateways.gateway import Answer, Unknown
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.settings import Settings
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import (
    NOTHING,
    PATIENCE_SECONDS,
    RESTING,
    Spy,
    build_audited,
    read_bank,
    settle,
    take_snapshot,
)


def test_an_undo_outlasts_a_provider_that_is_down(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given
    answers: dict[str, Answer] = {"cancel": Unknown("server_error")}
    spy = Spy(build_gateway(settings), replace=answers.get)
    shelf.add_variant("cup", stock=5)
    with build_audited(
        engine, settings.model_copy(update={"max_attempts": 2, "retry_cap_seconds": 0.05}), spy
    ) as works:
        checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_capture_declined")
        # When more calls were made than any limit of attempts allows, under ever new keys
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while len(spy.calls) < 5 + 2 * settings.max_undo_attempts and time.monotonic() < ends_at:
            works.sweep()
            works.pump()
        keys = [call.key for verb, call in spy.calls if verb == "cancel"]
        # Then it needs no review, and nothing is released that may still be paid
        assert works.states([checkout_id]) == ["unwinding"]
        assert keys[:4] == [f"{checkout_id}:void:{n}" for n in (1, 1, 2, 2)]
        assert shelf.stock("cup") == (5, 2)
        # When it is up again
        answers.clear()
        # Then
        assert settle(works, [checkout_id]) == ["failed"]
        assert read_bank(engine, checkout_id) == NOTHING
        keys = [call.key for verb, call in spy.calls if verb == "cancel"]
        statuses = "SELECT status, count(*) FROM payment_operations WHERE kind = 'void' GROUP BY status"
        assert shelf.rows(statuses) == [("succeeded", len(set(keys)))]


@pytest.mark.parametrize(
    ("token", "ending"),
    [
        ("tok_capture_timeout_after", "completed"),
        ("tok_capture_declined+tok_cancel_timeout_after", "failed"),
    ],
)
def test_an_outcome_unknown_for_a_day_is_for_a_person_whose_retry_settles_it(
    works: Works, shelf: Shelf, engine: Engine, token: str, ending: str
) -> None:
    # Given a call whose key the provider has forgotten by now
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token=token)
    works.pump()
    shelf.force("UPDATE payment_operations SET created_at = now() - interval '2 days' WHERE status = 'unknown'")
    assert settle(works, [checkout_id], until=RESTING) == ["needs_review"]
    review = works.status(checkout_id).review
    assert review is not None
    assert review.code == "payment_unresolved"
    # When an operator retries
    shelf.run("UPDATE payments SET token = 'tok_ok'")
    works.service.retry(checkout_id, actor="ops", reason="the bank says it is done")
    # Then
    assert settle(works, [checkout_id], until=RESTING) == [ending]
    assert read_bank(engine, checkout_id) == (BankTotals(0, 500, 0) if ending == "completed" else NOTHING)


def test_an_open_unknown_for_too_long_is_left_behind(works: Works, shelf: Shelf, engine: Engine) -> None:
    """No money moves with an open, and an object whose reference was never stored cannot be authorised."""
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_open_error")
    works.pump()
    # When
    shelf.force("UPDATE payment_operations SET created_at = now() - interval '2 days'")
    # Then
    assert settle(works, [checkout_id], until=RESTING) == ["failed"]
    assert shelf.stock("cup") == (5, 0)
    assert shelf.rows("SELECT kind, status, code FROM payment_operations") == [("open", "declined", "abandoned")]


def test_the_first_reason_survives_a_review(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_capture_declined+tok_cancel_declined")
    works.pump()
    # When
    shelf.run("UPDATE payments SET token = 'tok_ok'")
    works.service.retry(checkout_id, actor="ops", reason="called the bank")
    works.pump()
    # Then
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert failure.code == "capture_declined"


def test_endings_are_final(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given one of each ending
    shelf.add_variant("cup", stock=9)
    ids = [works.start(shelf.add_cart(("cup", 1)), token=token) for token in ("tok_ok", "tok_declined")]
    works.pump()
    ids += [works.start(shelf.add_cart(("cup", 1))) for _ in range(2)]
    works.pump()
    works.service.cancel(ids[2], OWNER)
    shelf.run("UPDATE checkouts SET expires_at = now() - interval '1 second' WHERE id = :id", id=ids[3])
    works.sweep()
    works.pump()
    assert {CheckoutState(state) for state in works.states(ids)} == TERMINAL
    before = take_snapshot(engine)
    # When
    for each in ids:
        assert works.service.cancel(each, OWNER).changed is False
        assert works.service.release(each, actor="ops", reason="tidy").changed is False
        assert works.service.retry(each, actor="ops", reason="tidy").changed is False
        assert works.service.resume(each, OWNER).changed is False
    works.unwinder.run(ids)
    works.sweep()
    works.pump()
    # Then
    assert take_snapshot(engine) == before
