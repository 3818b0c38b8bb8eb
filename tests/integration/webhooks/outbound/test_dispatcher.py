"""Deliveries: at least once, never doubled by two dispatchers, with back-off, and dead-lettered at last."""

import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import text

from pipeline.checkouts.events import write_events
from pipeline.messaging import DELIVERIES
from pipeline.saga.sweep import sweep
from pipeline.webhooks.outbound import Dispatcher, list_deliveries, remove_endpoint, replay
from pipeline.webhooks.outbound.dispatcher import wait_seconds
from tests.integration.webhooks.outbound.post import Post
from tests.integration.webhooks.outbound.receiver import Receiver, receive

COMPLETED = "checkout.completed"
#: Long enough for an endpoint that is well on a busy machine. A silent one costs as long.
HASTY_SECONDS: Final = 3.0


@pytest.mark.parametrize("status", [500, 404, 429, 302])
def test_what_is_not_delivered_is_repeated_unchanged(post: Post, receiver: Receiver, status: int) -> None:
    # Given an endpoint that fails once, or points elsewhere
    post.subscribe(receiver.url, COMPLETED)
    receiver.answers.append(status)
    receiver.location = receiver.url if status == 302 else ""
    post.buy()
    # When
    assert post.tick() == 1
    # Then it waits, and no redirect is followed
    assert post.rows() == [("pending", 1, status, f"answered {status}")]
    assert len(receiver.got) == 1
    assert post.tick() == 0
    # When its time has come
    post.make_due()
    post.tick()
    # Then
    assert post.rows() == [("delivered", 2, 204, None)]
    assert [receiver.got[0].event_id, receiver.got[0].body] == [receiver.got[1].event_id, receiver.got[1].body]
    post.make_due()
    assert post.tick() == 0


def test_waits_double_up_to_six_hours() -> None:
    waits = [wait_seconds(attempts) for attempts in range(40)]
    for attempts, wait in enumerate(waits):
        assert 0.9 <= wait / min(5 * 2**attempts, 6 * 3600) <= 1.1


def test_the_wait_is_written_down(post: Post, receiver: Receiver) -> None:
    post.subscribe(receiver.url, COMPLETED)
    receiver.answers.extend([500, 500])
    post.buy()
    for shortest, longest in ((4.5, 5.5), (9, 11)):
        post.make_due()
        # By the database's clock: the wait is counted from a moment between these two.
        [(before,)] = post.shelf.rows("SELECT now()")
        post.tick()
        [(after,)] = post.shelf.rows("SELECT now()")
        [(due_at,)] = post.rows("due_at")
        assert before + timedelta(seconds=shortest) <= due_at <= after + timedelta(seconds=longest)


def test_after_its_time_it_is_dead_lettered_and_an_operator_replays_it(post: Post, receiver: Receiver) -> None:
    # Given
    post.subscribe(receiver.url, COMPLETED)
    receiver.answers.extend([500, 500])
    post.buy()
    post.tick()
    post.age(72.1)
    post.make_due()
    # When
    post.tick()
    # Then
    assert post.rows("status, attempts, due_at, last_error") == [("dead_lettered", 2, None, "answered 500")]
    post.make_due()
    assert post.tick() == 0
    with post.engine.begin() as connection:
        assert [each.status for each in list_deliveries(connection, status="dead_lettered")] == ["dead_lettered"]
        assert replay(connection) == 1
        assert replay(connection) == 0
    post.tick()
    assert post.rows("status, attempts") == [("delivered", 1)]
    # When a delivered one is replayed by name
    [(delivery_id,)] = post.rows("id")
    with post.engine.begin() as connection:
        assert replay(connection, ids=[delivery_id]) == 1
    post.tick()
    assert Counter(receiver.ids()) == {receiver.got[0].event_id: 4}


def test_gone_is_dead_lettered_at_once(post: Post, receiver: Receiver) -> None:
    post.subscribe(receiver.url, COMPLETED)
    receiver.answers.append(410)
    post.buy()
    post.tick()
    assert post.rows("status, attempts, last_status, ended_at IS NOT NULL") == [("dead_lettered", 1, 410, True)]


def test_a_removed_endpoint_is_sent_nothing_more(post: Post, receiver: Receiver) -> None:
    # Given
    endpoint, _ = post.subscribe(receiver.url, COMPLETED)
    post.buy()
    # When
    with post.engine.begin() as connection:
        assert remove_endpoint(connection, endpoint.id)
        assert not remove_endpoint(connection, endpoint.id)
        assert replay(connection) == 0
    post.buy()
    post.tick()
    # Then
    assert (receiver.got, post.rows("status, last_error")) == ([], [("dead_lettered", "the endpoint was removed")])


@pytest.mark.parametrize("drip", [False, True], ids=["silent", "a byte now and then"])
def test_an_endpoint_that_does_not_answer_stalls_no_other(post: Post, receiver: Receiver, *, drip: bool) -> None:
    # Given one that hangs and one that is well, each with twenty deliveries, and a dispatcher with a short time-out
    hasty = Dispatcher(
        post.works.transactions, post.settings.model_copy(update={"outbound_webhook_timeout_seconds": HASTY_SECONDS})
    )
    post = replace(post, dispatcher=hasty)
    with receive() as hanging, closing(hasty):
        hanging.answers.extend([0] * 40)
        hanging.drip = drip
        silent, _ = post.subscribe(hanging.url, "checkout.phase_completed")
        post.subscribe(receiver.url, "checkout.phase_completed")
        for _ in range(3):
            post.buy()
        # When
        post.tick()
        # Then the one has all, the other was tried by the few calls that were out at once
        assert len(receiver.got) == 21
        assert len(hanging.got) <= post.settings.outbound_webhook_concurrency
    columns = "status, count(*), sum(attempts)"
    [(status, count, attempts)] = post.shelf.rows(
        f"SELECT {columns} FROM webhook_deliveries WHERE endpoint_id = :id GROUP BY 1", id=silent.id
    )
    assert (status, count, attempts) == ("pending", 21, len(hanging.got))


def test_a_port_where_no_server_listens(post: Post) -> None:
    post.subscribe("http://127.0.0.1:1/hook", COMPLETED)
    post.buy()
    post.tick()
    [(status, attempts, last_status, error)] = post.rows()
    assert (status, attempts, last_status) == ("pending", 1, None)
    assert "refused" in error


def test_two_dispatchers_make_each_delivery_once(post: Post, receiver: Receiver) -> None:
    # Given
    post.subscribe(receiver.url)
    for _ in range(3):
        post.buy()
    post.works.sweep()
    ids: list[UUID] = post.works.line.take(DELIVERIES, 500)
    rival = Dispatcher(post.works.transactions, post.settings)
    # When both are given every message
    threads = [threading.Thread(target=each.run, args=[ids]) for each in (post.dispatcher, rival)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    post.dispatcher.run(ids)
    rival.close()
    # Then
    assert len(ids) == 30
    assert sorted(Counter(receiver.ids()).values()) == [1] * 30


def test_what_a_crashed_dispatcher_had_leased_is_due_again(post: Post, receiver: Receiver) -> None:
    # Given a dispatcher that crashed after its lease
    post.subscribe(receiver.url, COMPLETED)
    post.buy()
    post.works.sweep()
    post.dispatcher._lease(post.works.line.take(DELIVERIES))
    assert post.tick() == 0
    # When its lease has run out
    post.make_due()
    post.tick()
    # Then
    assert (len(receiver.got), post.rows("status, attempts")) == (1, [("delivered", 1)])


def test_a_backlog_is_not_doubled(post: Post, receiver: Receiver) -> None:
    # Given no dispatcher
    post.subscribe(receiver.url)
    post.buy()
    due = post.works.sweep().deliveries
    waiting = len(post.works.line.waiting[DELIVERIES])
    # When
    post.make_due()
    small = post.works.settings.model_copy(update={"sweep_limit": 10})
    counts = sweep(post.works.transactions, post.works.line, post.works.line, small)
    # Then
    assert (due, waiting, counts.deliveries, len(post.works.line.waiting[DELIVERIES])) == (10, 10, 0, 10)


def test_an_event_that_was_rolled_back_is_delivered_to_no_endpoint(post: Post, receiver: Receiver) -> None:
    # Given
    post.subscribe(receiver.url)
    checkout_id = post.buy()
    before = post.shelf.rows("SELECT count(*) FROM webhook_deliveries")
    # When
    with post.engine.connect() as connection:
        write_events(connection, "checkout.completed", [checkout_id])
        assert connection.execute(text("SELECT count(*) FROM webhook_deliveries")).scalar_one() == before[0][0] + 1
        connection.rollback()
    # Then
    assert post.shelf.rows("SELECT count(*) FROM webhook_deliveries") == before


def test_nothing_is_locked_while_an_endpoint_is_called(post: Post, receiver: Receiver) -> None:
    # Given
    post.subscribe(receiver.url, COMPLETED)
    post.buy()
    post.works.sweep()
    ids = post.works.line.take(DELIVERIES)

    def inside(_connection: object) -> None:
        with pytest.raises(RuntimeError, match="inside a database transaction"):
            post.dispatcher.run(ids)

    # When, then
    post.works.transactions.run(inside)
    assert receiver.got == []
