"""Late funds are voided or refunded, once."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.settings import Settings
from tests.integration.payments.afterlife import (
    end_unpaid,
    late_events,
    next_look,
    poll,
    revive,
)
from tests.integration.payments.stage import HELD, RETURNED, STOCK, Stage, open_stage
from tests.support.failpoints import SimulatedCrash
from tests.support.harness import OWNER, build_works
from tests.support.rivals import at_once, pump_both
from tests.support.workbench import NOTHING

LATE: Final = pytest.mark.parametrize(
    ("kinds", "undo", "event", "left"),
    [
        (["authorize"], "void", "payment.voided_late", NOTHING),
        (["authorize", "capture"], "refund", "payment.refunded_late", RETURNED),
    ],
    ids=["authorized", "captured"],
)


@LATE
def test_money_that_a_poll_finds_is_refunded(
    stage: Stage, kinds: list[str], undo: str, event: str, left: BankTotals
) -> None:
    # Given
    checkout_id, reference = end_unpaid(stage)
    revive(stage, reference, *kinds)
    # When
    poll(stage)
    # Then
    assert late_events(stage, checkout_id) == ["payment.late_funds", event]
    assert stage.operations(checkout_id)[-1][0] == undo
    assert stage.operations(checkout_id)[-1][2] == "succeeded"
    assert stage.totals(checkout_id) == left
    # ... the checkout stays as it ended, and is polled again
    assert stage.works.status(checkout_id).state is CheckoutState.CANCELLED
    assert stage.works.status(checkout_id).review is None
    assert 55 < (next_look(stage) or 0) <= 60
    assert stage.shelf.stock("cup") == (STOCK, 0)
    # When it is polled again
    poll(stage)
    # Then that is all
    assert late_events(stage, checkout_id) == ["payment.late_funds", event]


def test_one_batch_refunds_late_funds_and_unwinds_another_checkout(stage: Stage) -> None:
    # Given one that is cancelled while it is authorised, beside one with late funds
    turning = stage.start("tok_ok")
    stage.works.pump(until="order_creation")
    stage.works.service.cancel(turning, OWNER)
    stage.works.line.lose_all()
    ended, reference = end_unpaid(stage)
    revive(stage, reference, "authorize")
    stage.works.poller.run([ended])
    stage.works.line.lose_all()
    assert [stage.totals(each) for each in (ended, turning)] == [HELD, HELD]
    # When
    stage.works.unwinder.run([ended, turning])
    # Then
    assert [stage.totals(each) for each in (ended, turning)] == [NOTHING, NOTHING]
    assert late_events(stage, ended) == ["payment.late_funds", "payment.voided_late"]
    assert stage.works.states([ended, turning]) == ["cancelled", "cancelled"]


def by_repeat(stage: Stage) -> None:
    """Let the call be made again."""


def by_webhook(stage: Stage) -> None:
    """Deliver the bank's webhook before the call is repeated."""
    stage.mail.deliver_new()
    stage.pump()


@LATE
@pytest.mark.parametrize("report", [by_repeat, by_webhook], ids=["repeat", "webhook"])
@pytest.mark.parametrize("fault", ["timeout_after", "timeout_before", "error", "malformed"])
def test_a_refund_of_late_funds_survives_a_lost_answer(
    stage: Stage,
    kinds: list[str],
    undo: str,
    event: str,
    left: BankTotals,
    report: Callable[[Stage], None],
    fault: str,
) -> None:
    # Given
    checkout_id, reference = end_unpaid(stage)
    verb = {"void": "cancel"}.get(undo, undo)
    stage.shelf.run("UPDATE payments SET token = :token", token=f"tok_{verb}_{fault}")
    revive(stage, reference, *kinds)
    # When
    poll(stage)
    report(stage)
    stage.wait(checkout_id, lambda: event in stage.events(checkout_id))
    # Then
    assert late_events(stage, checkout_id) == ["payment.late_funds", event]
    assert stage.totals(checkout_id) == left


def test_late_funds_found_twice_are_refunded_twice(stage: Stage) -> None:
    # Given a late authorisation that was voided
    checkout_id, reference = end_unpaid(stage)
    revive(stage, reference, "authorize")
    poll(stage)
    assert stage.totals(checkout_id) == NOTHING
    # When it is captured all the same
    stage.shelf.run("DELETE FROM sandbox.entries WHERE kind = 'cancel'")
    stage.shelf.run("UPDATE sandbox.payments SET status = 'captured', captured_minor = 700")
    stage.shelf.run(
        "INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES (:r, 'capture', 700)", r=reference
    )
    poll(stage)
    # Then
    assert late_events(stage, checkout_id) == [
        "payment.late_funds",
        "payment.voided_late",
        "payment.late_funds",
        "payment.refunded_late",
    ]
    assert stage.totals(checkout_id) == RETURNED


def test_a_poll_that_finds_late_funds_survives_the_crash_of_its_process(engine: Engine, settings: Settings) -> None:
    # Given
    with open_stage(engine, settings) as stage:
        checkout_id, reference = end_unpaid(stage)
        revive(stage, reference, "authorize", "capture")
        died: list[Any] = []

        def die(verb: str, _call: object) -> None:
            if verb not in died:
                died.append(verb)
                raise SimulatedCrash(verb)

        # When the process crashes after the poll, and the next one after the refund
        stage.spy.after = die
        poll(stage)

        def is_refunded() -> bool:
            stage.run_leases_out()
            return "payment.refunded_late" in stage.events(checkout_id)

        stage.wait(checkout_id, is_refunded)
        # Then
        assert died == ["retrieve", "refund"]
        assert stage.deaths == 2
        assert late_events(stage, checkout_id) == ["payment.late_funds", "payment.refunded_late"]
        assert stage.totals(checkout_id) == RETURNED
        assert stage.entries() == [("authorize", 700), ("capture", 700), ("refund", 700)]


@LATE
def test_two_processes_that_find_it_at_once_refund_it_once(
    stage: Stage, engine: Engine, kinds: list[str], undo: str, event: str, left: BankTotals
) -> None:
    # Given
    checkout_id, reference = end_unpaid(stage)
    revive(stage, reference, *kinds)
    # When
    with build_works(engine, stage.settings) as rival:
        at_once(partial(stage.works.poller.run, [checkout_id]), partial(rival.poller.run, [checkout_id]))
        at_once(partial(stage.works.unwinder.run, [checkout_id]), partial(rival.unwinder.run, [checkout_id]))
        pump_both(stage.works, rival)
    stage.wait(checkout_id, lambda: event in stage.events(checkout_id))
    # Then
    assert late_events(stage, checkout_id) == ["payment.late_funds", event]
    assert stage.totals(checkout_id) == left
    last = {"void": "cancel"}.get(undo, undo)
    assert stage.entries() == [(kind, 700) for kind in (*kinds, last)]
