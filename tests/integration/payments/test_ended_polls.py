"""Ended checkouts are polled: when, how often, and with what effect."""

from typing import Final

import pytest
from sqlalchemy import text

from models.states import CheckoutState
from pipeline.database import connect_engine
from pipeline.gateways.gateway import Answer, Misconfigured, Transient, Unknown
from pipeline.saga.resolve import resolve
from tests.integration.payments.afterlife import (
    age,
    count_polls,
    end_unpaid,
    late_events,
    next_look,
    poll,
    revive,
)
from tests.integration.payments.stage import Stage
from tests.support.workbench import NOTHING, take_snapshot

MINUTE: Final = 60
HOUR: Final = 3600


def test_the_first_poll_is_a_minute_after_the_end(stage: Stage) -> None:
    # Given
    checkout_id, _ = end_unpaid(stage)
    polled = count_polls(stage)
    assert 55 < (next_look(stage) or 0) <= 60
    # When nothing is due
    assert stage.works.sweep().scheduled == 0
    # ... and when it is
    stage.shelf.run("UPDATE checkouts SET ended_at = now() - interval '60 s'")
    poll(stage)
    # Then
    assert count_polls(stage) == polled + 1
    assert 115 < (next_look(stage) or 0) < 125
    assert late_events(stage, checkout_id) == []
    assert stage.works.status(checkout_id).state is CheckoutState.CANCELLED


@pytest.mark.parametrize(
    ("ended", "wait"),
    [(30, 60), (60, 120), (180, 360), (HOUR, 2 * HOUR), (23 * HOUR, 46 * HOUR), (24 * HOUR + 1, None)],
    ids=["30 s", "1 min", "3 min", "1 h", "23 h", "over 24 h"],
)
def test_polls_have_growing_intervals_and_end_after_a_day(stage: Stage, ended: float, wait: float | None) -> None:
    # Given
    end_unpaid(stage)
    age(stage, ended)
    # When
    poll(stage)
    # Then
    left = next_look(stage)
    assert left is None if wait is None else left is not None and wait - 5 < left < wait + 5
    assert stage.shelf.row("SELECT due_reason FROM checkouts").due_reason == (None if wait is None else "scheduled")


def test_a_checkout_without_an_object_is_not_polled(stage: Stage) -> None:
    # Given
    checkout_id = stage.start("tok_open_declined")
    stage.pump()
    assert stage.works.status(checkout_id).state is CheckoutState.FAILED
    # Then
    assert next_look(stage) is None
    assert count_polls(stage) == 0


@pytest.mark.parametrize("error", [Unknown("timeout"), Transient("rate_limited")], ids=["unknown", "transient"])
@pytest.mark.parametrize("ended", [HOUR, 30 * HOUR], ids=["1 h", "30 h"])
def test_a_poll_that_the_bank_does_not_answer_is_repeated_sooner(stage: Stage, error: Answer, ended: float) -> None:
    # Given late funds that only a poll can find, perhaps the last one
    checkout_id, reference = end_unpaid(stage)
    age(stage, ended)
    revive(stage, reference, "authorize")
    # When the bank does not answer
    stage.spy.replace = lambda verb, answer: error if verb == "retrieve" else answer
    poll(stage)
    # Then it is made again, sooner than after any answer
    assert ended / 4 - 5 < (next_look(stage) or 0) <= ended / 4 + 5
    # When the bank is back
    stage.spy.replace = None
    poll(stage)
    # Then
    assert late_events(stage, checkout_id) == ["payment.late_funds", "payment.voided_late"]
    assert stage.totals(checkout_id) == NOTHING


def test_polls_that_are_never_answered_end_too(stage: Stage) -> None:
    # Given an object that the provider says it does not have
    end_unpaid(stage)
    stage.spy.replace = lambda _verb, _answer: Misconfigured("payment_unknown")
    polls, seconds = 0, 60.0
    # When it is polled for as long as anything is due
    while True:
        age(stage, seconds)
        poll(stage)
        polls += 1
        wait = next_look(stage)
        if wait is None:
            break
        seconds += wait
    # Then that is a bounded number of polls, over three days
    assert polls < 45
    assert 72 * HOUR <= seconds < 90 * HOUR


@pytest.mark.parametrize("change", ["refunded", "authorized"])
def test_a_completed_checkout_is_never_changed_by_a_poll(stage: Stage, change: str) -> None:
    # Given an order whose money the merchant refunded in the bank's dashboard, or a bank in confusion
    checkout_id = stage.start("tok_ok")
    stage.pump()
    assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED
    assert next_look(stage) is None
    stage.mail.collect()
    stage.shelf.run("UPDATE sandbox.payments SET status = :status", status=change)
    before = take_snapshot(stage.engine, without=())
    calls = len(stage.spy.calls)
    # When everything that polls does
    assert stage.works.poller.run([checkout_id]) == {checkout_id}
    works = stage.works
    ids = [checkout_id]
    resolve(works.transactions, works.runner, works.unwinder, works.poller, ids, read_charges=works.charges.run)
    stage.works.unwinder.run([checkout_id])
    stage.works.sweep()
    stage.pump()
    # Then no row has changed
    assert take_snapshot(stage.engine, without=()) == before
    assert len(stage.spy.calls) == calls
    stage.shelf.run("UPDATE sandbox.payments SET status = 'captured'")


def test_a_poll_survives_a_connection_that_the_server_has_closed(stage: Stage) -> None:
    # Given a poll that is due, and connections that were closed while unused
    end_unpaid(stage)
    polled = count_polls(stage)
    stage.shelf.run("UPDATE checkouts SET ended_at = now() - interval '60 s', due_at = now()")
    assert stage.works.sweep().scheduled == 1
    own = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'checkout.test'"
    other = connect_engine(stage.works.settings, application_name="other")
    with other.connect() as connection:
        assert connection.execute(text(f"{own} AND datname = current_database()")).scalar_one() >= 1
    other.dispose()
    # When
    stage.pump()
    # Then
    assert count_polls(stage) == polled + 1
