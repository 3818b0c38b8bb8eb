"""The sweep sends again what was lost, once, and leaves alone what merely waits."""

import time
from collections import deque
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.messaging.ports import Head
from pipeline.saga.sweep import SweepCounts
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works


def make_overdue(shelf: Shelf, *, seconds: int = 1) -> None:
    """Let the stall bound pass for every checkout that waits for a message."""
    shelf.run(
        "UPDATE checkouts SET due_at = now() - interval '1 second', sent_at = sent_at - make_interval(secs => :s)"
        " WHERE due_reason = 'stalled'",
        s=seconds,
    )


def attempts(shelf: Shelf, checkout_id: UUID) -> int:
    """Return the attempts counted so far."""
    return int(shelf.row("SELECT attempts FROM checkouts WHERE id = :id", id=checkout_id).attempts)


def test_a_lost_message_is_sent_again_and_counted(works: Works, shelf: Shelf) -> None:
    # Given a checkout whose message is lost
    shelf.add_variant("cup")
    checkout_id = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    works.line.lose_all()
    # Then nothing happens before the stall bound
    assert works.sweep() == SweepCounts()
    # When it has passed
    make_overdue(shelf)
    assert works.sweep() == SweepCounts(redelivered=1)
    assert attempts(shelf, checkout_id) == 1
    # Then it runs to its end, and progress forgets the attempt
    works.pump()
    assert works.states([checkout_id]) == ["completed"]
    assert attempts(shelf, checkout_id) == 0
    assert shelf.row("SELECT count(*) AS n FROM events WHERE kind = 'sweep.redelivered'").n == 1


@pytest.mark.parametrize("late_seconds", [1, 3600])
def test_a_backlog_is_never_doubled(works: Works, shelf: Shelf, late_seconds: int) -> None:
    # Given five checkouts that wait in their queue, for a moment or for an hour
    shelf.add_variant("cup")
    ids = [works.start(shelf.add_cart(("cup", 1)), token="tok_ok") for _ in range(5)]
    make_overdue(shelf, seconds=late_seconds)
    queue = works.line.waiting["checkout.cart_validation"]
    late = timedelta(seconds=late_seconds)
    works.line.waiting["checkout.cart_validation"] = deque(replace(send, sent_at=send.sent_at - late) for send in queue)
    # When the sweep runs
    assert works.sweep() == SweepCounts()
    # Then each has one message still
    assert [send.subject_id for send in works.line.sent] == ids
    works.pump()


def test_of_a_backlog_only_what_left_the_queue_is_sent_again(works: Works, shelf: Shelf) -> None:
    # Given three waiting checkouts, of which the first message was delivered without a trace
    shelf.add_variant("cup")
    ids = []
    for _ in range(3):
        ids.append(works.start(shelf.add_cart(("cup", 1)), token="tok_ok"))
        time.sleep(0.005)
    works.line.take("checkout.cart_validation", 1)
    shelf.run("UPDATE checkouts SET due_at = now() - interval '1 second'")
    # When
    assert works.sweep() == SweepCounts(redelivered=1)
    # Then
    assert [attempts(shelf, each) for each in ids] == [1, 0, 0]
    works.pump()
    assert works.states(ids) == ["completed"] * 3


def test_what_waits_beyond_any_patience_is_called_again_and_costs_no_attempt(
    works: Works, shelf: Shelf, settings: Settings
) -> None:
    # Given two that were sent long ago, of which the later message is gone, and the earlier one still waits
    shelf.add_variant("cup")
    ids = []
    for _ in range(2):
        ids.append(works.start(shelf.add_cart(("cup", 1)), token="tok_ok"))
        time.sleep(0.005)
    queue = works.line.waiting["checkout.cart_validation"]
    queue.pop()
    long = timedelta(seconds=2 * settings.redeliver_always_after_seconds)
    queue[0] = replace(queue[0], sent_at=queue[0].sent_at - long)
    shelf.run("UPDATE checkouts SET sent_at = sent_at - CAST(:long AS interval), due_at = now()", long=long)
    # When
    assert works.sweep() == SweepCounts(redelivered=2)
    # Then no worker had them, so that none has failed; and each message says when it was sent
    assert [attempts(shelf, each) for each in ids] == [0, 0]
    rows = shelf.rows("SELECT id, sent_at FROM checkouts ORDER BY id")
    assert sorted((send.subject_id, send.sent_at) for send in works.line.sent[-2:]) == rows
    works.pump()
    assert works.states(ids) == ["completed"] * 2


def test_a_queue_that_does_not_say_how_old_it_is_proves_nothing(
    works: Works, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given one that is stalled, and a queue whose oldest message has no sending time
    shelf.add_variant("cup")
    checkout_id = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    make_overdue(shelf)
    monkeypatch.setattr(works.line, "heads", lambda queues: dict.fromkeys(queues, Head(None, 1)))
    # When
    assert works.sweep() == SweepCounts()
    # Then
    assert attempts(shelf, checkout_id) == 0
    assert len(works.line.sent) == 1


def test_while_the_broker_is_away_nothing_is_sent_or_counted(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup")
    works.line.away = True
    checkout_id = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    make_overdue(shelf)
    # When
    assert works.sweep() == SweepCounts()
    # Then
    assert attempts(shelf, checkout_id) == 0
    works.line.away = False
    assert works.sweep() == SweepCounts(redelivered=1)
    works.pump()
    assert works.states([checkout_id]) == ["completed"]


def test_waits_double_and_the_last_attempt_unwinds(works: Works, shelf: Shelf, settings: Settings) -> None:
    # Given a checkout whose every message kills its worker
    shelf.add_variant("cup")
    cart_id = shelf.add_cart(("cup", 1))
    checkout_id = works.start(cart_id, token="tok_ok")
    works.pump(until="inventory_reservation")
    waits = []
    # When it is delivered and lost again and again
    for _ in range(settings.max_attempts):
        works.line.lose_all()
        make_overdue(shelf)
        assert works.sweep().redelivered == 1
        row = shelf.row("SELECT extract(epoch FROM due_at - sent_at) AS wait FROM checkouts")
        waits.append(float(row.wait) / settings.redeliver_after_seconds)
    works.line.lose_all()
    make_overdue(shelf)
    assert works.sweep() == SweepCounts(given_up=1)
    works.pump()
    # Then
    assert [round(wait) for wait in waits] == [1, 2, 4, 8, 16]
    status = works.status(checkout_id)
    assert status.state == "failed"
    assert status.failure is not None
    assert (status.failure.code, status.failure.phase) == ("attempts_exhausted", "inventory_reservation")
    assert shelf.stock("cup") == (10, 0)


def test_a_lost_unwind_is_sent_again(works: Works, shelf: Shelf) -> None:
    # Given a cancelled checkout whose unwind message is lost
    shelf.add_variant("cup")
    checkout_id = works.start(shelf.add_cart(("cup", 4)))
    works.pump()
    works.service.cancel(checkout_id, "shop-1")
    works.line.lose_all()
    assert shelf.stock("cup") == (10, 4)
    # When
    make_overdue(shelf)
    assert works.sweep() == SweepCounts(redelivered=1)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["cancelled"]
    assert shelf.stock("cup") == (10, 0)


def test_what_is_scheduled_goes_to_its_own_queue_and_costs_no_attempt(works: Works, shelf: Shelf) -> None:
    # Given an authorisation with an unknown outcome
    shelf.add_variant("cup")
    checkout_id = works.start(shelf.add_cart(("cup", 1)), token="tok_authorize_timeout_after")
    works.pump()
    assert works.states([checkout_id]) == ["running"]
    # When its wait is over
    time.sleep(works.settings.retry_seconds)
    shelf.run("UPDATE checkouts SET due_at = now() - interval '1 second'")
    assert works.sweep() == SweepCounts(scheduled=1)
    assert {send.queue for send in works.line.sent if send.subject_id == checkout_id} >= {"checkout.resolve"}
    assert attempts(shelf, checkout_id) == 0
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]


def test_expiry_frees_the_stock_and_opens_the_cart(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup")
    cart_id = shelf.add_cart(("cup", 4))
    checkout_id = works.start(cart_id, ttl_seconds=1)
    works.pump()
    assert works.sweep() == SweepCounts()
    # When
    shelf.run("UPDATE checkouts SET expires_at = now()")
    assert works.sweep() == SweepCounts(expired=1)
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert status.state == "expired"
    assert status.failure is not None
    assert status.failure.message == "The checkout expired before it was paid: start a new one."
    assert shelf.stock("cup") == (10, 0)
    assert shelf.run("UPDATE cart_lines SET quantity = 1 WHERE cart_id = :id", id=cart_id) == 1
