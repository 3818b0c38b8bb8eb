"""Authorisations expire: an expired one is not captured, and nothing is left of it."""

from datetime import datetime
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.gateways.gateway import Answer, Misconfigured
from pipeline.settings import Settings
from tests.integration.payments.stage import HELD, PAID, Stage, expect_nothing, open_stage
from tests.support.harness import OWNER

LET_GO: Final = [("authorize", 700), ("cancel", 700)]
SENTENCE: Final = "The authorisation of the payment expired before it was captured: start again."


def authorize(stage: Stage, token: str = "tok_ok") -> UUID:
    """Bring a checkout to its order: the payment is authorised and not captured."""
    checkout_id = stage.start(token)
    stage.works.pump(until="payment_capture")
    assert stage.totals(checkout_id) == HELD
    return checkout_id


def let_run_out(stage: Stage) -> None:
    """Make the bank's authorisation expire now, unknown to the engine."""
    assert stage.shelf.run("UPDATE sandbox.payments SET authorized_until = now() - interval '1 s'") == 1


def near_the_end(stage: Stage, seconds: float) -> None:
    """Let the authorisation live for so long from now, as both sides know."""
    for table in ("payments", "sandbox.payments"):
        stage.shelf.run(f"UPDATE {table} SET authorized_until = now() + make_interval(secs => :s)", s=seconds)


def read_times(stage: Stage) -> tuple[datetime, datetime | None]:
    """Return when the checkout expires, and when its authorisation runs out."""
    row = stage.shelf.row(
        "SELECT c.expires_at, p.authorized_until FROM checkouts c JOIN payments p ON checkout_id = c.id"
    )
    return row.expires_at, row.authorized_until


def assert_ran_out(stage: Stage, checkout_id: UUID) -> None:
    """Assert that the buyer reads that the authorisation has expired, and that nothing is left."""
    status = stage.works.status(checkout_id)
    assert status.state is CheckoutState.FAILED
    assert status.failure is not None
    assert (status.failure.code, status.failure.phase) == ("authorization_expired", "payment_capture")
    assert status.failure.message == SENTENCE
    assert stage.entries() == LET_GO
    assert stage.orders() == ["cancelled"]
    expect_nothing(stage, checkout_id)


@pytest.mark.parametrize("card", ["tok_ok", "tok_action_required"])
def test_the_reservation_ends_before_the_authorisation_does(engine: Engine, settings: Settings, card: str) -> None:
    # Given a bank that keeps authorisations for two minutes, half of which we do not rely on
    lives = {"authorization_margin_seconds": 60, "payment_window_seconds": 600}
    with open_stage(engine, settings.with_gateway_options(authorization_seconds=120), **lives) as stage:
        checkout_id = stage.start(card)
        if card != "tok_ok":
            stage.pump()
            stage.bank.approve(stage.reference(checkout_id))
            stage.works.service.resume(checkout_id, OWNER)
        # When
        stage.works.pump(until="payment_capture")
        # Then
        expires_at, until = read_times(stage)
        assert until == stage.shelf.row("SELECT authorized_until FROM sandbox.payments").authorized_until
        assert (until - expires_at).total_seconds() == 60
        # ... and within it there is an order as ever
        stage.pump()
        assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED


def test_a_long_authorisation_does_not_shorten_the_reservation(engine: Engine, settings: Settings) -> None:
    with open_stage(engine, settings, payment_window_seconds=600) as stage:
        # Given
        checkout_id = stage.start("tok_ok")
        before = stage.works.status(checkout_id).expires_at
        # When
        stage.works.pump(until="payment_capture")
        # Then
        expires_at, until = read_times(stage)
        assert expires_at == before
        assert until is not None
        assert (until - expires_at).total_seconds() > 6 * 24 * 3600


def test_an_authorisation_that_is_about_to_expire_is_not_captured(stage: Stage) -> None:
    # Given an authorisation with half a minute left, and a margin of one minute
    checkout_id = authorize(stage)
    near_the_end(stage, 30)
    # When the message of the capture comes late
    stage.pump()
    # Then the bank was not asked to take it
    assert_ran_out(stage, checkout_id)
    assert [verb for verb, _ in stage.spy.calls] == ["open", "authorize", "cancel"]


def test_a_capture_on_what_has_run_out_is_declined_and_unwound(stage: Stage) -> None:
    # Given an authorisation that the bank has voided before its time
    checkout_id = authorize(stage)
    let_run_out(stage)
    # When
    stage.pump()
    # Then it unwinds, past the pivot
    assert_ran_out(stage, checkout_id)
    assert stage.operations(checkout_id)[2:] == [("capture", 1, "declined"), ("void", 1, "succeeded")]
    assert stage.shelf.rows("SELECT pivot_at IS NOT NULL FROM checkouts") == [(True,)]


@pytest.mark.parametrize("fault", ["timeout_before", "error", "unavailable"])
def test_an_authorisation_that_expires_between_repeats_of_the_capture_is_unwound(stage: Stage, fault: str) -> None:
    # Given a capture without a known effect
    checkout_id = authorize(stage, f"tok_capture_{fault}")
    stage.pump()
    assert stage.operations(checkout_id)[-1] == ("capture", 1, "unknown")
    # When the authorisation ends before it is asked again
    let_run_out(stage)
    # Then
    assert stage.settle(checkout_id) == "failed"
    assert_ran_out(stage, checkout_id)


def test_what_was_captured_in_time_stays_captured(stage: Stage) -> None:
    # Given a capture that has had its effect, and whose answer was lost
    checkout_id = authorize(stage, "tok_capture_timeout_after")
    stage.pump()
    assert stage.operations(checkout_id)[-1] == ("capture", 1, "unknown")
    # When the stored authorisation has expired
    stage.shelf.run("UPDATE payments SET authorized_until = now() - interval '1 day'")
    # Then
    assert stage.settle(checkout_id) == "completed"
    assert stage.totals(checkout_id) == PAID


def test_with_all_workers_down_the_sweep_voids_before_the_bank_does(engine: Engine, settings: Settings) -> None:
    # Given a bank that keeps authorisations for 4 s, of which we rely on the first
    short = settings.with_gateway_options(authorization_seconds=4)
    with open_stage(engine, short, authorization_margin_seconds=3) as stage:
        checkout_id = authorize(stage)
        # When no worker receives the capture's message, and only the sweep runs
        stage.works.line.lose_all()
        stage.shelf.run("UPDATE checkouts SET sent_at = now() + interval '1 h', due_at = now() + interval '1 h'")
        stage.wait(
            checkout_id, lambda: stage.works.status(checkout_id).state in (CheckoutState.EXPIRED, CheckoutState.FAILED)
        )
        # Then
        assert stage.works.status(checkout_id).state is CheckoutState.EXPIRED
        assert stage.entries() == LET_GO
        cancelled = stage.shelf.row("SELECT at FROM sandbox.entries WHERE kind = 'cancel'").at
        authorized = stage.shelf.row("SELECT at FROM sandbox.entries WHERE kind = 'authorize'").at
        assert 0.9 < (cancelled - authorized).total_seconds() < 4
        assert stage.operations(checkout_id)[-1] == ("void", 1, "succeeded")
        expect_nothing(stage, checkout_id)


def test_with_everything_down_until_the_bank_has_voided_nothing_is_left(stage: Stage) -> None:
    # Given an authorisation that ran out while neither workers nor sweep were there
    checkout_id = authorize(stage)
    stage.works.line.lose_all()
    near_the_end(stage, -1)
    stage.shelf.run("UPDATE checkouts SET expires_at = now() - interval '61 s'")
    assert stage.bank.expire() == 1
    # When they come back
    assert stage.settle(checkout_id) == "expired"
    # Then
    assert stage.entries() == LET_GO
    assert stage.orders() == ["cancelled"]
    expect_nothing(stage, checkout_id)


def test_a_capture_that_is_retried_too_late_is_unwound(stage: Stage) -> None:
    # Given a capture for which the bank refused access until it needed review
    checkout_id = authorize(stage)

    def lock_out(verb: str, answer: Answer) -> Answer:
        return Misconfigured("access_refused") if verb == "capture" else answer

    stage.shelf.run("UPDATE payments SET token = 'tok_capture_misconfigured'")
    stage.spy.replace = lock_out
    assert stage.settle(checkout_id) == "needs_review"
    review = stage.works.status(checkout_id).review
    assert review is not None
    assert review.code == "gateway_misconfigured"
    # When the keys are right again, and the authorisation has run out meanwhile
    stage.spy.replace = None
    stage.shelf.run("UPDATE payments SET token = 'tok_ok'")
    let_run_out(stage)
    stage.works.service.retry(checkout_id, actor="ops", reason="new keys")
    # Then
    assert stage.settle(checkout_id) == "failed"
    assert_ran_out(stage, checkout_id)
