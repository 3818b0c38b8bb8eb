"""The buyer does not come back from the bank's page, or too late, or the bank does not say that they did."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.gateways.gateway import Answer, Declined, Succeeded, Transient, Unknown
from tests.integration.payments.buyers import (
    by_resume,
    pay_challenged,
    read_expiry,
    run_out,
    start_challenged,
    told_by,
)
from tests.integration.payments.stage import HELD, PAID, Stage, expect_nothing
from tests.support.harness import OWNER, build_works
from tests.support.rivals import Crowd, Gate, at_once
from tests.support.workbench import NOTHING, settle


@pytest.mark.parametrize("begin", [start_challenged, pay_challenged], ids=["straight through", "started"])
def test_a_buyer_that_never_returns_leaves_nothing(stage: Stage, begin: Callable[[Stage], tuple[UUID, str]]) -> None:
    # Given
    checkout_id, reference = begin(stage)
    # When
    run_out(stage, checkout_id)
    assert stage.works.sweep().expired == 1
    stage.pump()
    # Then
    assert stage.works.status(checkout_id).state is CheckoutState.EXPIRED
    expect_nothing(stage, checkout_id)
    # ... and the bank refuses the late buyer
    assert stage.bank.approve(reference) == Declined("payment_cancelled", "The payment is cancelled.")
    assert stage.entries() == []
    # ... and a storefront that polls gets the ending
    assert not stage.works.service.resume(checkout_id, OWNER).changed
    assert stage.works.status(checkout_id).action is None


def test_a_buyer_that_cancels_at_the_banks_page_leaves_nothing(stage: Stage) -> None:
    # Given
    checkout_id, reference = start_challenged(stage)
    # When
    stage.works.service.cancel(checkout_id, OWNER)
    stage.pump()
    # Then
    assert stage.works.status(checkout_id).state is CheckoutState.CANCELLED
    expect_nothing(stage, checkout_id)
    assert isinstance(stage.bank.approve(reference), Declined)


def test_an_approval_between_the_expiry_and_the_cancellation_is_voided(stage: Stage) -> None:
    # Given a checkout whose time is up, and whose object is not cancelled yet
    checkout_id, reference = start_challenged(stage)
    run_out(stage, checkout_id)
    assert stage.works.sweep().expired == 1
    # When the buyer approves now, and everything that can report it does
    assert isinstance(stage.bank.approve(reference), Succeeded)
    stage.mail.deliver_new()
    assert not stage.works.service.resume(checkout_id, OWNER).changed
    stage.pump()
    # Then
    assert stage.works.status(checkout_id).state is CheckoutState.EXPIRED
    assert stage.entries() == [("authorize", 700), ("cancel", 700)]
    expect_nothing(stage, checkout_id)


@told_by
def test_an_approval_reported_after_the_expiry_and_before_the_sweep_is_paid(
    stage: Stage, report: Callable[[Stage, UUID], None]
) -> None:
    # Given
    checkout_id, reference = start_challenged(stage)
    run_out(stage, checkout_id)
    # When
    stage.bank.approve(reference)
    report(stage, checkout_id)
    stage.pump()
    # Then the first one wins: nothing was voided yet
    assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED
    assert stage.totals(checkout_id) == PAID
    assert stage.works.sweep().expired == 0


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_retrieval_in_flight_at_the_expiry_agrees_with_the_sweep(
    engine: Engine, stage: Stage, crowd: Crowd, where: str
) -> None:
    # Given a buyer that returns in the last second, and a retrieval in flight
    checkout_id, reference = start_challenged(stage)
    stage.bank.approve(reference)
    by_resume(stage, checkout_id)
    gate = Gate(stage.spy, "retrieve", where)
    polling = crowd.begin(stage.pump)
    gate.wait()
    # When the sweep of another process comes by
    run_out(stage, checkout_id)
    with build_works(engine, stage.settings) as rival:
        expired = rival.sweep().expired
        rival.pump()
        gate.open()
        polling.result(10)
        [state] = settle(rival, [checkout_id])
    # Then money and order say the same
    assert state == ("expired" if expired else "completed")
    assert stage.totals(checkout_id) == (NOTHING if expired else PAID)
    assert stage.shelf.stock("cup") == ((5, 0) if expired else (3, 0))


@pytest.mark.parametrize("error", [Unknown("timeout"), Transient("rate_limited")], ids=["unknown", "transient"])
def test_a_resume_while_the_bank_is_down_backs_off_and_then_works(stage: Stage, error: Answer) -> None:
    # Given a bank that does not answer retrievals
    checkout_id, reference = start_challenged(stage)
    ends_at = read_expiry(stage, checkout_id)
    stage.bank.approve(reference)
    stage.spy.replace = lambda verb, answer: error if verb == "retrieve" else answer
    by_resume(stage, checkout_id)
    # When
    stage.wait(checkout_id, lambda: [verb for verb, _ in stage.spy.calls].count("retrieve") >= 4)
    # Then it still waits for the buyer, reserved no longer than before, and is not polled in a flood
    assert stage.works.status(checkout_id).state in (CheckoutState.RUNNING, CheckoutState.ACTION_REQUIRED)
    assert read_expiry(stage, checkout_id) == ends_at
    assert stage.operations(checkout_id) == [("open", 1, "succeeded"), ("authorize", 1, "action_required")]
    gaps = stage.shelf.row("SELECT extract(epoch FROM due_at - updated_at) AS wait FROM checkouts").wait
    assert float(gaps) > 0.25
    # When it is back
    stage.spy.replace = None
    # Then no further poll is needed
    assert stage.settle(checkout_id) == "completed"
    assert stage.totals(checkout_id) == PAID


def test_a_bank_that_stays_down_until_the_time_is_up_leaves_nothing(stage: Stage) -> None:
    # Given
    checkout_id, reference = start_challenged(stage)
    stage.bank.approve(reference)
    stage.spy.replace = lambda verb, answer: Unknown("timeout") if verb == "retrieve" else answer
    by_resume(stage, checkout_id)
    stage.pump()
    # When
    run_out(stage, checkout_id)
    # Then
    assert stage.settle(checkout_id) == "expired"
    assert stage.entries() == [("authorize", 700), ("cancel", 700)]
    expect_nothing(stage, checkout_id)


def test_an_approval_without_a_report_is_voided_at_the_expiry(stage: Stage) -> None:
    # Given a buyer that approved and closed the window, and a bank whose webhook was lost
    checkout_id, reference = start_challenged(stage)
    stage.bank.approve(reference)
    assert stage.totals(checkout_id) == HELD
    # When
    run_out(stage, checkout_id)
    # Then
    assert stage.settle(checkout_id) == "expired"
    assert stage.entries() == [("authorize", 700), ("cancel", 700)]
    expect_nothing(stage, checkout_id)


def test_an_approval_reported_many_times_at_once_is_captured_once(stage: Stage, engine: Engine) -> None:
    # Given
    checkout_id, reference = start_challenged(stage)
    stage.bank.approve(reference)
    # When two processes retrieve and two storefronts poll, begun in one instant
    with build_works(engine, stage.settings) as rival:
        at_once(
            partial(stage.works.poller.run, [checkout_id]),
            partial(rival.poller.run, [checkout_id]),
            partial(stage.works.service.resume, checkout_id, OWNER),
            partial(rival.service.resume, checkout_id, OWNER),
        )
        at_once(stage.works.pump, rival.pump)
    # Then
    assert stage.settle(checkout_id) == "completed"
    assert stage.entries() == [("authorize", 700), ("capture", 700)]
    assert stage.orders() == ["placed"]
