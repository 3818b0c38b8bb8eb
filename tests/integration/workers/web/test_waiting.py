"""Answers that wait for their checkout: woken at once, never for ever, and at no cost while they wait."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from models.states import CheckoutState
from tests.integration.workers.web.pauses import pause_checkout, rest
from tests.integration.workers.web.stage import Stage, find_url, held_stock, pay, put_cart, serve, spin_until, start

BUSY = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'checkout.web' AND state <> 'idle'"
)


def test_without_a_preference_it_responds_at_once(stage: Stage, cup: httpx2.Client) -> None:
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


@pytest.mark.parametrize("wish", ["wait=soon", "wait=-1", "wait", "respond-async", "wait=0"])
def test_what_is_no_wish_is_not_waited_for(stage: Stage, cup: httpx2.Client, wish: str) -> None:
    with held_stock(stage):
        answer = pay(cup, {"cart_id": put_cart(cup, ("cup", 1))}, prefer={"Prefer": wish})
    assert (answer.status_code, answer.headers.get("preference-applied")) == (202, None)


def test_fifty_long_polls_use_no_connection(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    checkout_id = pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    with ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(start, cup, cart_id) for _ in range(50)]
        spin_until(lambda: len(stage.server._context.long_polls._waiters.get(checkout_id, ())) == 50, "fifty wait")
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


def test_a_process_that_ends_responds_to_long_polls(stage: Stage, cup: httpx2.Client) -> None:
    # Given a process of its own
    pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    token = cup.headers["Authorization"]
    with (
        ThreadPoolExecutor(1) as threads,
        serve(stage.settings) as server,
        httpx2.Client(base_url=find_url(server), headers={"Authorization": token}, timeout=20) as client,
    ):
        waiting = threads.submit(start, client, cart_id)
        spin_until(lambda: server._context.long_polls._waiters, "a long poll waits")
        # When
        began = time.monotonic()
        server.handle_exit(signal.SIGTERM, None)
        # Then
        answer = waiting.result()
        assert time.monotonic() - began < 2
    # Then, and the process has ended
    assert time.monotonic() - began < 5
    assert (answer.status_code, answer.json()["state"]) == (202, CheckoutState.RUNNING)
