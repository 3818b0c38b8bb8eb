"""The bounds of one tick of the sweep, its attempts, and what they leave."""

from datetime import timedelta
from functools import partial

from sqlalchemy import Engine

from pipeline.gateways import build_gateway
from pipeline.gateways.gateway import Call
from pipeline.payments import CallResult
from pipeline.saga.chain import CHAIN
from pipeline.saga.executor import Step
from pipeline.saga.sweep import SweepCounts
from pipeline.settings import Settings
from tests.integration.saga.test_sweep import attempts, make_overdue
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import Spy, build_audited, start_many, take_snapshot

ATTEMPTS = 3


def test_an_unwind_that_leaves_no_trace_each_time_is_put_before_a_person(works: Works, shelf: Shelf) -> None:
    # Given a cancelled checkout whose unwind kills its worker, beside one whose message is lost for the first time
    works.settings = works.settings.model_copy(update={"max_undo_attempts": ATTEMPTS})
    exhausted, other = start_many(works, shelf, 2, card=None)
    works.pump()
    works.service.cancel(exhausted, OWNER)
    for _ in range(ATTEMPTS):
        works.line.lose_all()
        make_overdue(shelf)
        assert works.sweep() == SweepCounts(redelivered=1)
    assert attempts(shelf, exhausted) == ATTEMPTS
    works.service.cancel(other, OWNER)
    works.line.lose_all()
    make_overdue(shelf)
    # When
    assert works.sweep() == SweepCounts(redelivered=1, given_up=1)
    works.pump()
    # Then
    assert works.states([exhausted, other]) == ["needs_review", "cancelled"]
    review = shelf.row("SELECT review FROM checkouts WHERE id = :id", id=exhausted).review
    assert (review["code"], review["phase"]) == ("undo_failed", "payment_authorization")
    assert review["detail"] == {
        "phase": "payment_authorization",
        "attempts": ATTEMPTS + 1,
        "error": "its worker crashed without committing, each time",
    }
    redelivered = "SELECT phase, count(*) FROM events WHERE kind = 'sweep.redelivered' GROUP BY phase"
    assert shelf.rows(redelivered) == [("checkout.unwind", ATTEMPTS + 1)]
    # When it is still in review, it is not redelivered
    make_overdue(shelf)
    assert works.sweep() == SweepCounts()


def test_checkouts_with_an_attempt_left_are_redelivered_beside_exhausted_ones(works: Works, shelf: Shelf) -> None:
    # Given two in one queue, of which one has had all its attempts
    exhausted, other = start_many(works, shelf, 2)
    works.pump(until="price_lock")
    shelf.run("UPDATE checkouts SET attempts = :all WHERE id = :id", all=works.settings.max_attempts, id=exhausted)
    works.line.lose_all()
    make_overdue(shelf)
    # When
    assert works.sweep() == SweepCounts(redelivered=1, given_up=1)
    # Then both go on: one forward, one back
    assert sorted((send.queue, send.subject_id) for send in works.line.sent[-2:]) == [
        ("checkout.price_lock", other),
        ("checkout.unwind", exhausted),
    ]
    works.pump()
    assert works.states([exhausted, other]) == ["failed", "completed"]


def test_a_tick_handles_no_more_than_its_limit(works: Works, shelf: Shelf) -> None:
    works.settings = works.settings.model_copy(update={"sweep_limit": 2})
    # Given three whose messages are lost
    ids = start_many(works, shelf, 3, card=None)
    works.line.lose_all()
    make_overdue(shelf)
    # Then
    assert [works.sweep().redelivered for _ in range(3)] == [2, 1, 0]
    # Given the same three, put off until now
    works.pump()
    assert works.states(ids) == ["awaiting_payment"] * 3
    shelf.run("UPDATE checkouts SET state = 'running', due_at = now(), due_reason = 'scheduled'")
    assert [works.sweep().scheduled for _ in range(3)] == [2, 1, 0]
    # Given that their time is up
    shelf.run("UPDATE checkouts SET expires_at = now()")
    assert [works.sweep().expired for _ in range(3)] == [2, 1, 0]
    works.pump()
    assert works.states(ids) == ["expired"] * 3


def test_a_scheduled_retry_is_redelivered_once_and_keeps_its_attempts(works: Works, shelf: Shelf) -> None:
    # Given one that failed twice, and whose wait is over
    (checkout_id,) = start_many(works, shelf, 1)
    works.line.lose_all()
    shelf.run("UPDATE checkouts SET attempts = 2, due_at = now(), due_reason = 'scheduled'")
    # When
    assert works.sweep() == SweepCounts(scheduled=1)
    # Then it waits for its message, as long as one that has had two attempts
    row = shelf.row("SELECT attempts, due_reason, sent_at, due_at - sent_at AS wait FROM checkouts")
    assert (row.attempts, row.due_reason) == (2, "stalled")
    assert row.wait == timedelta(seconds=4 * works.settings.redeliver_after_seconds)
    (send,) = works.line.sent[-1:]
    assert (send.queue, send.subject_id, send.sent_at) == ("checkout.cart_validation", checkout_id, row.sent_at)
    assert works.sweep() == SweepCounts()


def test_an_undo_whose_call_is_out_is_due_when_its_lease_has_run_out(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    # Given
    seen = []

    def record(verb: str, _: Call) -> None:
        if verb == "cancel":
            columns = "state, due_reason, pivot_at, CAST(extract(epoch FROM due_at - updated_at) AS float)"
            seen.extend(shelf.rows(f"SELECT {columns} FROM checkouts"))

    with build_audited(engine, settings, Spy(build_gateway(settings), before=record)) as works:
        (checkout_id,) = start_many(works, shelf, 1)
        works.pump(until="payment_capture")
        works.service.cancel(checkout_id, OWNER)
        # When
        works.pump()
        # Then nothing says that it cannot be undone
        assert works.states([checkout_id]) == ["cancelled"]
        assert [tuple(each) for each in seen] == [("unwinding", "scheduled", None, settings.gateway_lease_seconds)]


def test_a_failure_that_is_reported_too_late_changes_nothing(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given one that has gone on since, and one that unwinds
    gone, turned = start_many(works, shelf, 2, card=None)
    works.pump(until="price_lock")
    works.service.cancel(turned, OWNER)
    before = take_snapshot(engine)

    def explode(*_: object) -> Step[CallResult]:
        raise RuntimeError("too late")

    # When
    for phase, checkout_id in ((CHAIN[0], gone), (CHAIN[2], turned)):
        works.executor.run([checkout_id], explode, partial(works.runner._fail, phase))
    # Then
    assert take_snapshot(engine) == before
