"""Answers that wait for their checkout: woken at once, never for ever, and at no cost while they wait."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx2
import psycopg
import pytest
from sqlalchemy import text

from models.states import CheckoutState
from pipeline.events import CHANNEL, write_events
from tests.integration.web.stage import Stage, find_url, pay, put_cart, serve, spin_until, start
from tests.integration.web.test_idempotency import held_stock

SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name ="
LISTENERS = f"SELECT pid {SESSIONS} 'checkout.waiting'"
BUSY = f"SELECT count(*) {SESSIONS} 'checkout.web' AND state <> 'idle'"


@pytest.fixture
def cup(stage: Stage) -> httpx2.Client:
    """A client of a shop that has cups."""
    stage.shelf.add_variant("cup", stock=99, price_minor=250)
    return stage.client()


def test_without_a_wish_it_is_answered_at_once(stage: Stage, cup: httpx2.Client) -> None:
    with held_stock(stage):
        answer = pay(cup, {"cart_id": put_cart(cup, ("cup", 1))}, prefer={})
        body = answer.json()
        assert (answer.status_code, body["state"], body["order"]) == (202, "running", None)
        assert answer.headers["location"] == f"/checkout/status?checkout_id={body['checkout_id']}"
        assert "preference-applied" not in answer.headers
        status = cup.get(answer.headers["location"]).json()
        assert (status["state"], status["locked"], status["can_resume"]) == ("running", True, False)


def test_a_short_wait_ends_in_time(stage: Stage, cup: httpx2.Client) -> None:
    with held_stock(stage):
        began = time.monotonic()
        answer = pay(cup, {"cart_id": put_cart(cup, ("cup", 1))}, prefer={"Prefer": "wait=1"})
        seconds = time.monotonic() - began
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    assert answer.headers["preference-applied"] == "wait=1"
    assert 1 <= seconds < 2.5


def test_the_cap_is_what_is_granted(stage: Stage, cup: httpx2.Client) -> None:
    answer = pay(cup, {"cart_id": put_cart(cup, ("cup", 1))}, prefer={"Prefer": "respond-async, wait=99999"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=30")


def rest(stage: Stage, checkout_id: UUID, pause: float = 0) -> None:
    """Have somebody else bring a checkout to its rest, as a worker does."""
    with stage.engine.begin() as connection:
        connection.execute(
            text("UPDATE checkouts SET state = 'awaiting_payment', due_at = NULL, due_reason = NULL WHERE id = :id"),
            {"id": checkout_id},
        )
        time.sleep(pause)
        write_events(connection, "checkout.awaiting_payment", [checkout_id])


def pause_checkout(stage: Stage, cup: httpx2.Client) -> UUID:
    """Return a checkout that stands as if it were being worked on, with nobody who works."""
    checkout_id = UUID(start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"])
    # The way back is one that the transitions allow: a payment, whose worker never comes.
    stage.shelf.run(
        "UPDATE checkouts SET state = 'running', due_at = now() + interval '1 min', due_reason = 'stalled'"
        " WHERE id = :id",
        id=checkout_id,
    )
    return checkout_id


def test_it_is_the_notice_that_wakes(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    checkout_id = pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(start, cup, cart_id)
        spin_until(lambda: stage.server._edge.waiting._waiters, "somebody waits")
        # When
        began = time.monotonic()
        rest(stage, checkout_id)
        answer = waiting.result()
        seconds = time.monotonic() - began
    # Then
    assert (answer.status_code, answer.json()["state"]) == (200, "awaiting_payment")
    assert seconds < 2
    assert stage.server._edge.waiting._waiters == {}


def test_a_listener_that_was_cut_off_listens_again(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    checkout_id = pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    spin_until(lambda: stage.shelf.rows(LISTENERS), "somebody listens")
    [(pid,)] = stage.shelf.rows(LISTENERS)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(start, cup, cart_id)
        spin_until(lambda: stage.server._edge.waiting._waiters, "somebody waits")
        # When the connection is ended, and the news comes while nobody listens
        stage.shelf.rows("SELECT pg_terminate_backend(:pid)", pid=pid)
        rest(stage, checkout_id)
        # Then it is heard of all the same
        assert waiting.result().json()["state"] == "awaiting_payment"
    spin_until(lambda: stage.shelf.rows(LISTENERS) not in ([], [(pid,)]), "it listens again")


def test_a_batch_is_one_notice(stage: Stage, cup: httpx2.Client) -> None:
    # Given somebody else who listens
    ids = [UUID(start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]) for _ in range(3)]
    url = stage.settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        # When a batch of 64 comes to rest, and what concerns nobody happens to as many
        with stage.engine.begin() as connection:
            write_events(connection, "checkout.awaiting_payment", (ids * 22)[:64])
            write_events(connection, "checkout.phase_completed", ids, phase="price_lock")
        # Then
        notices = list(listener.notifies(timeout=0.3))
    assert [notice.payload.split(",") for notice in notices] == [[str(each) for each in (ids * 22)[:64]]]


def test_fifty_who_wait_hold_nothing(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    checkout_id = pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    with ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(start, cup, cart_id) for _ in range(50)]
        spin_until(lambda: len(stage.server._edge.waiting._waiters.get(checkout_id, ())) == 50, "fifty wait")
        # Then
        spin_until(lambda: stage.shelf.rows(BUSY) == [(0,)], "no connection is taken")
        assert (
            len([each for each in threading.enumerate() if each.name.startswith("web_")])
            <= stage.settings.web_connections
        )
        assert cup.get("/checkout/status", params={"checkout_id": str(checkout_id)}).json()["state"] == "running"
        # When
        rest(stage, checkout_id)
        # Then
        assert {each.result().json()["state"] for each in waiting} == {"awaiting_payment"}


def test_a_process_that_ends_answers_who_waits(stage: Stage, cup: httpx2.Client) -> None:
    # Given an edge of its own
    pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    token = cup.headers["Authorization"]
    with (
        ThreadPoolExecutor(1) as threads,
        serve(stage.settings) as server,
        httpx2.Client(base_url=find_url(server), headers={"Authorization": token}, timeout=20) as client,
    ):
        waiting = threads.submit(start, client, cart_id)
        spin_until(lambda: server._edge.waiting._waiters, "somebody waits")
        # When
        began = time.monotonic()
        server.handle_exit(signal.SIGTERM, None)
        # Then
        answer = waiting.result()
        assert time.monotonic() - began < 2
    assert (answer.status_code, answer.json()["state"]) == (202, CheckoutState.RUNNING)
