"""The HTTP edge with all its processes: unavailable servers, and a killed edge. `test_edge_rush.py` has the rush."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

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
from workers.web.routes.purchase import LEASE_MARGIN_SECONDS

pytestmark = pytest.mark.acceptance

UNITS = 50
ALL_SOLD = [("authorize", 1), ("capture", 1)]
#: A lease is one row of one statement: how long it lasts is exact.
LEASE = "SELECT key, status, extract(epoch FROM leased_until - created_at) FROM stored_responses"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(tmp_path_factory.mktemp("edge") / "fleet.log") as place:
        yield place


@pytest.fixture
def place(opened: Place) -> Iterator[Place]:
    """The installation with some cups. Every invariant must hold after each test."""
    empty(opened)
    opened.shelf.add_variant("cup", stock=UNITS, price_minor=250)
    yield opened
    opened.wait_for_edge()
    opened.assert_sound()


def money(place: Place) -> list[tuple[Any, ...]]:
    return place.shelf.rows("SELECT kind, count(*) FROM sandbox.entries GROUP BY kind ORDER BY kind")


def test_checkouts_are_accepted_without_redis_and_go_on_when_it_is_back(place: Place) -> None:
    with place.client() as client:
        # Given
        usual = measure_usual(client)
        place.valkey.stop()
        try:
            # When
            times = []
            for number in range(5):
                began = time.monotonic()
                response = client.post("/checkout", json=ask(make_cart("cup")), headers=key(number))
                times.append(time.monotonic() - began)
                # Then
                assert (response.status_code, response.json()["state"]) == (202, "running")
            assert max(times) < 2.5 + MANY * usual
            place.wait_for_health("degraded")
            assert place.shelf.rows("SELECT state, phase, count(*) FROM checkouts GROUP BY 1, 2") == [("running", 0, 5)]
        finally:
            place.valkey.start()
        # Then all checkouts go on by themselves
        place.wait_for_states({"completed": 5})
        assert client.get(response.headers["location"]).json()["state"] == "completed"
    assert money(place) == [("authorize", 5), ("capture", 5)]


def test_without_postgresql_everything_is_refused_and_nothing_is_lost(place: Place) -> None:
    cart = make_cart("cup")
    ended = place.processes.count_lines("web.1 | ended")
    with place.client() as client:
        usual = measure_usual(client)
        # Given a payment that waits while the database crashes, and no database
        with ThreadPoolExecutor(1) as threads:
            place.processes.supervisor.kill("payment_authorization", signal.SIGSTOP)
            waiting = threads.submit(client.post, "/checkout", json=ask(cart), headers=key("order-1", wait=LONG_WAIT))
            wait_until(lambda: place.shelf.rows("SELECT FROM checkouts WHERE phase = 3"), "it waits for its payment")
            place.cut_postgres()
            try:
                # Then each route refuses, in time
                requests: list[tuple[str, str, dict[str, Any]]] = [
                    ("GET", "/checkout", {"params": {"cart_id": cart["id"]}}),
                    ("POST", "/checkout", {"json": ask(make_cart("cup")), "headers": key("order-2", wait=5)}),
                    ("GET", "/checkout/status", {"params": {"cart_id": cart["id"]}}),
                    ("POST", "/checkout/cancel", {"json": {"cart_id": cart["id"]}}),
                    ("GET", f"/carts/{cart['id']}", {}),
                    ("PUT", f"/carts/{cart['id']}", {"json": {"currency": "EUR", "lines": []}}),
                    ("GET", "/metrics", {}),
                ]
                for method, path, given in requests:
                    began = time.monotonic()
                    refused = client.request(method, path, **given)
                    assert (refused.status_code, refused.json()["code"]) == (503, "service_unavailable"), path
                    assert refused.headers["retry-after"] == "2"
                    assert time.monotonic() - began < 5 + MANY * usual
                place.wait_for_health("unhealthy")
            finally:
                place.postgres.start()
                place.processes.supervisor.kill("payment_authorization", signal.SIGCONT)
            first = waiting.result()
        assert first.status_code in {200, 202, 503}
        place.wait_for_edge()
        # And nothing of the refused requests is stored
        place.wait_for_states({"completed": 1})
        assert place.shelf.rows("SELECT key FROM stored_responses") == [("order-1",)]
        # When both are repeated
        place.shelf.run("UPDATE stored_responses SET leased_until = now()")
        again = client.post("/checkout", json=ask(cart), headers=key("order-1", wait=LONG_WAIT))
        second = client.post("/checkout", json=ask(make_cart("cup")), headers=key("order-2", wait=LONG_WAIT))
    # Then each is one order, and the edge is notified again without a restart
    assert again.status_code in {200, 202}
    assert (second.status_code, second.json()["state"]) == (200, "completed")
    assert money(place) == [("authorize", 2), ("capture", 2)]
    assert place.processes.count_lines("web.1 | ended") == ended


def test_an_edge_that_is_killed_pays_nothing_twice(place: Place) -> None:
    cart = make_cart("cup")
    with place.client() as client, ThreadPoolExecutor(1) as threads:
        # Given a payment that waits for a suspended worker
        place.processes.supervisor.kill("payment_capture", signal.SIGSTOP)
        waiting = threads.submit(client.post, "/checkout", json=ask(cart), headers=key("order-1", wait=LONG_WAIT))
        wait_until(lambda: place.shelf.rows("SELECT FROM checkouts WHERE phase = 5"), "it waits for its capture")
        # When the edge is killed
        os.kill(pid_of(place, "web.1"), signal.SIGKILL)
        with pytest.raises(httpx2.TransportError):
            waiting.result()
        place.processes.supervisor.kill("payment_capture", signal.SIGCONT)
        place.wait_for_edge()
        # Then it leaves its lease, which outlasts its wait by ten seconds
        assert place.shelf.rows(LEASE) == [("order-1", None, LONG_WAIT + LEASE_MARGIN_SECONDS)]
        # And a repeat gets 409 while that lasts, however long the edge took to start, and the one order
        # order
        place.shelf.run("UPDATE stored_responses SET leased_until = now() + interval '1 hour'")
        early = client.post("/checkout", json=ask(cart), headers=key("order-1", wait=LONG_WAIT))
        place.shelf.run("UPDATE stored_responses SET leased_until = now()")
        late = client.post("/checkout", json=ask(cart), headers=key("order-1", wait=LONG_WAIT))
    assert (early.status_code, early.json()["code"]) == (409, "idempotency_running")
    assert (late.status_code, late.json()["state"]) == (200, "completed")
    assert money(place) == ALL_SOLD


def test_an_edge_that_gets_sigterm_responds_first(place: Place) -> None:
    cart = make_cart("cup")
    with place.client() as client, ThreadPoolExecutor(1) as threads:
        # Given
        place.processes.supervisor.kill("payment_capture", signal.SIGSTOP)
        waiting = threads.submit(client.post, "/checkout", json=ask(cart), headers=key("order-1", wait=LONG_WAIT))
        wait_until(lambda: place.shelf.rows("SELECT FROM checkouts WHERE phase = 5"), "it waits for its capture")
        before = place.processes.count_lines("ended with 0")
        usual = measure_usual(client)
        # When
        began = time.monotonic()
        os.kill(pid_of(place, "web.1"), signal.SIGTERM)
        response = waiting.result()
        # Then
        assert (response.status_code, response.json()["state"]) == (202, "running")
        wait_until(lambda: place.processes.count_lines("ended with 0") == before + 1, "it has ended well")
        assert time.monotonic() - began < 10 + MANY * usual
        place.processes.supervisor.kill("payment_capture", signal.SIGCONT)
        place.wait_for_states({"completed": 1})
    assert money(place) == ALL_SOLD
