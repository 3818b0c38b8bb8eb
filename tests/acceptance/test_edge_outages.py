"""The HTTP edge while its servers freeze, restart or are unavailable, and when it gets SIGTERM with many long polls."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Final
from uuid import uuid4

import httpx2
import pytest

from pipeline.gateways import build_gateway
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.webhook_events import SandboxEvent
from tests.acceptance.edge_place import (
    LONG_WAIT,
    MANY,
    Place,
    ask,
    empty,
    key,
    make_cart,
    measure_usual,
    open_place,
    pid_of,
    wait_until,
)
from workers.broker.redis_client import SOCKET_SECONDS

pytestmark = pytest.mark.acceptance

#: Longest time until the edge reports an unavailable server: its time-outs and repeats, on a busy machine.
BOUND_SECONDS: Final = 5.0
#: How long a long poll is that outlives the database: a busy machine reaches the payment in that time.
SHORT_WAIT: Final = 10
CAPTURED: Final = "SELECT count(*), count(DISTINCT reference) FROM sandbox.entries WHERE kind = 'capture'"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(tmp_path_factory.mktemp("outages") / "fleet.log") as place:
        yield place


@pytest.fixture
def place(opened: Place) -> Iterator[Place]:
    """The installation with forty cups. Every invariant must hold after each test."""
    empty(opened)
    opened.shelf.add_variant("cup", stock=40, price_minor=250)
    yield opened
    opened.wait_for_edge()
    opened.assert_sound()


@contextmanager
def frozen(place: Place, *lines: str) -> Iterator[None]:
    """Suspend these workers."""
    for line in lines:
        assert place.processes.supervisor.kill(line, signal.SIGSTOP) == 1
    try:
        yield
    finally:
        for line in lines:
            place.processes.supervisor.kill(line, signal.SIGCONT)


@contextmanager
def frozen_redis(place: Place) -> Iterator[None]:
    """Suspend Redis: it accepts connections and does not answer."""
    process = place.valkey._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def without_postgres(place: Place) -> Iterator[None]:
    """Crash PostgreSQL; at the end it is back at its address."""
    place.cut_postgres()
    try:
        yield
    finally:
        place.postgres.start()


def pay(client: httpx2.Client, name: str, *, wait: int = 0, token: str = "tok_ok") -> httpx2.Response:
    """Buy one cup; the same name is the same request."""
    return client.post("/checkout", json=ask(make_cart("cup") | {"id": name}, token), headers=key(name, wait))


def make_names(count: int) -> list[str]:
    return [str(uuid4()) for _ in range(count)]


def time_it(work: Callable[[], httpx2.Response]) -> tuple[float, httpx2.Response]:
    began = time.monotonic()
    response = work()
    return time.monotonic() - began, response


def assert_unavailable(work: Callable[[], httpx2.Response]) -> None:
    """Assert that this is refused, in time, with when to come back."""
    assert_refused(*time_it(work))


def assert_refused(seconds: float, response: httpx2.Response) -> None:
    """Assert that this response, which took so long, is a refusal in time, with when to come back."""
    assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
    assert (response.json()["code"], response.headers["retry-after"]) == ("service_unavailable", "2")
    assert seconds < BOUND_SECONDS


def summarize(response: httpx2.Response) -> tuple[int, str]:
    """Return the HTTP status with the checkout's state, or with the error code."""
    body = response.json()
    return response.status_code, body["code"] if "code" in body else body["state"]


def test_a_frozen_redis_costs_a_second_and_no_order(place: Place) -> None:
    with place.client() as client, ThreadPoolExecutor(10) as threads:

        def buy(name: str) -> tuple[float, httpx2.Response]:
            return time_it(partial(pay, client, name))

        # Given how long a purchase takes on this machine while Redis is well: of ten at once, of others in turn
        usual_at_once = max(seconds for seconds, _ in threads.map(buy, make_names(10)))
        usual = median(buy(name)[0] for name in make_names(5))
        place.wait_for_states({"completed": 15})
        with frozen_redis(place):
            # When ten buy at once, and ten more one after the other
            at_once = list(threads.map(buy, make_names(10)))
            later = [buy(name) for name in make_names(10)]
            # Then all are accepted: the first wait for the one time-out, then no request waits for a second
            assert {summarize(response) for _, response in at_once + later} == {(202, "running")}
            assert max(seconds for seconds, _ in at_once) < usual_at_once + BOUND_SECONDS / 2
            assert sorted(seconds for seconds, _ in later)[5] < usual + SOCKET_SECONDS / 2
            assert place.shelf.rows(
                "SELECT state, phase, count(*) FROM checkouts WHERE state <> 'completed' GROUP BY 1, 2"
            ) == [("running", 0, 20)]
            # ... and carts can be written and read
            cart = make_cart("cup")
            address = f"/carts/{cart.pop('id')}"
            assert [client.put(address, json=cart).status_code, client.get(address).status_code] == [201, 200]
            # When a long poll waits meanwhile
            waiting = threads.submit(pay, client, make_names(1)[0], wait=LONG_WAIT)
            wait_until(lambda: place.shelf.rows("SELECT count(*) FROM checkouts") == [(36,)], "it is accepted")
            place.wait_for_health("degraded")
        # Then everything goes on by itself, and the long poll gets the order
        assert summarize(waiting.result()) == (200, "completed")
        place.wait_for_states({"completed": 36})
        assert client.get(later[-1][1].headers["location"]).json()["state"] == "completed"
    assert place.shelf.rows(CAPTURED) == [(36, 36)]
    assert place.shelf.stock("cup") == (4, 0)


def test_the_first_request_after_a_restart_of_postgresql_is_served(place: Place) -> None:
    with place.client() as client:
        first = pay(client, make_names(1)[0], wait=LONG_WAIT)
        ways: list[Callable[[], httpx2.Response]] = [
            lambda: client.get(first.headers["location"]),
            lambda: client.get("/checkout", params={"cart_id": first.json()["cart_id"]}),
            lambda: client.get(f"/carts/{first.json()['cart_id']}"),
            lambda: pay(client, make_names(1)[0], wait=LONG_WAIT),
        ]
        for request in ways:
            # Given a database that has restarted between two requests
            with without_postgres(place):
                pass
            # Then
            assert request().status_code == 200
        place.wait_for_states({"completed": 2})
    assert place.shelf.rows(CAPTURED) == [(2, 2)]


def test_twenty_long_polls_over_a_restart_of_postgresql_get_their_orders(place: Place) -> None:
    names = make_names(20)
    with place.client() as client, ThreadPoolExecutor(20) as threads:
        # Given
        with frozen(place, "payment_authorization"):
            waiting = [threads.submit(pay, client, name, wait=LONG_WAIT) for name in names]
            wait_until(
                lambda: place.shelf.rows("SELECT phase, count(*) FROM checkouts GROUP BY 1") == [(3, 20)], "all wait"
            )
            assert client.get(f"/carts/{names[0]}").json()["locked"] is True
            # When
            with without_postgres(place):
                pass
        # Then
        responses = [each.result() for each in waiting]
        assert Counter(map(summarize, responses)) == {(200, "completed"): 20}
        again = [pay(client, name, wait=LONG_WAIT) for name in names]
    assert [each.content for each in again] == [each.content for each in responses]
    assert place.shelf.rows("SELECT count(*) FROM orders") == [(20,)]
    assert place.shelf.rows(CAPTURED) == [(20, 20)]
    assert place.shelf.stock("cup") == (20, 0)


def approve_payment(place: Place) -> SandboxEvent:
    """Approve the one payment at the bank; return the bank's webhook about it."""
    bank = build_gateway(place.settings)
    assert isinstance(bank, SandboxGateway)
    [(reference,)] = place.shelf.rows("SELECT reference FROM payments")
    bank.approve(reference)
    event = bank.events()[-1]
    bank.close()
    return event


def test_requests_refused_without_postgresql_are_accepted_when_it_is_back(place: Place) -> None:
    first, second = make_names(2)
    with place.client() as client, ThreadPoolExecutor(1) as threads:
        # Given a payment that its buyer has approved at the bank, and one that waits for its worker
        assert summarize(pay(client, first, wait=LONG_WAIT, token="tok_action_required")) == (202, "action_required")
        event = approve_payment(place)

        def send_webhook() -> httpx2.Response:
            headers = {**event.headers, "Content-Type": "application/json"}
            return httpx2.post(f"{place.url}/webhooks/sandbox", content=event.body, headers=headers)

        with frozen(place, "payment_authorization"):
            waiting = threads.submit(time_it, partial(pay, client, second, wait=SHORT_WAIT))
            wait_until(lambda: place.shelf.rows("SELECT FROM checkouts WHERE phase = 3 AND state = 'running'"), "waits")
            # When the database is unavailable for longer than the long poll
            with without_postgres(place):
                # Then
                assert_unavailable(send_webhook)
                seconds, response = waiting.result()
                assert_refused(seconds - SHORT_WAIT, response)
                assert_unavailable(lambda: pay(client, make_names(1)[0], wait=1))
            assert place.shelf.rows("SELECT count(*) FROM webhook_inbox") == [(0,)]
            assert place.shelf.rows("SELECT count(*) FROM checkouts") == [(2,)]
        # And when it is back, the same requests are accepted: the purchase once its first lease has expired
        assert summarize(pay(client, second, wait=LONG_WAIT)) == (409, "idempotency_running")
        place.shelf.run("UPDATE stored_responses SET leased_until = now() WHERE status IS NULL")
        assert summarize(pay(client, second, wait=LONG_WAIT)) == (200, "completed")
        assert send_webhook().json() == {"received": True}
        place.wait_for_states({"completed": 2})
    assert place.shelf.rows(CAPTURED) == [(2, 2)]


def test_an_edge_that_gets_sigterm_answers_every_long_poll(place: Place) -> None:
    names = make_names(6)
    with place.client() as client, ThreadPoolExecutor(10) as threads:
        # Given six payments, three quotes, and one cancellation of a quote's cart
        ids = make_names(3)
        for cart_id in ids:
            cart = make_cart("cup")
            del cart["id"]
            client.put(f"/carts/{cart_id}", json=cart)
        with frozen(place, "price_lock", "unwind"):
            paying = [threads.submit(pay, client, name, wait=LONG_WAIT) for name in names]
            others = [
                threads.submit(
                    client.get, "/checkout", params={"cart_id": each}, headers={"Prefer": f"wait={LONG_WAIT}"}
                )
                for each in ids
            ]
            wait_until(
                lambda: place.shelf.rows("SELECT phase, count(*) FROM checkouts GROUP BY 1") == [(2, 9)], "all wait"
            )
            others.append(
                threads.submit(
                    client.post, "/checkout/cancel", json={"cart_id": ids[0]}, headers={"Prefer": f"wait={LONG_WAIT}"}
                )
            )
            wait_until(lambda: place.shelf.rows("SELECT FROM checkouts WHERE state = 'unwinding'"), "it cancels")
            usual = measure_usual(client)
            # When
            before = place.processes.count_lines("web.1 | ended with 0")
            began = time.monotonic()
            os.kill(pid_of(place, "web.1"), signal.SIGTERM)
            # Then
            responses = [each.result() for each in paying]
            assert Counter(map(summarize, responses)) == {(202, "running"): 6}
            assert Counter(summarize(each.result()) for each in others) == {(202, "running"): 2, (202, "unwinding"): 2}
            wait_until(lambda: place.processes.count_lines("web.1 | ended with 0") == before + 1, "it has ended well")
            assert time.monotonic() - began < 10 + MANY * usual
        place.wait_for_states({"completed": 6, "awaiting_payment": 2, "cancelled": 1})
        # And repeats of the six get the same responses, and with a wait their orders
        place.wait_for_edge()
        assert [pay(client, name).content for name in names] == [each.content for each in responses]
        ended = [pay(client, name, wait=LONG_WAIT) for name in names]
        assert Counter(map(summarize, ended)) == {(200, "completed"): 6}
    assert place.shelf.rows(CAPTURED) == [(6, 6)]
    assert place.shelf.stock("cup") == (34, 2)
