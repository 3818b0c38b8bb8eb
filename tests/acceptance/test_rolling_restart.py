"""Every process is restarted, one after the other, while checkouts come: nothing is lost or redelivered."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import httpx2
import pytest
from redis import Redis

from pipeline.saga import CHAIN
from scripts.environments.supervisor import Supervisor
from tests.acceptance.edge_place import Place, ask, empty, key, make_cart, open_place, wait_until
from tests.support.processes import find_holders

# Fifteen starts, one after the other: 90 s where each takes three.
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

#: Longest that a purchase may take while its worker is being replaced: the start of a Python process on a busy machine.
LONGEST_SECONDS: Final = 25.0
#: Of each of four buyers between two purchases: every phase has work ten times a second.
PAUSE_SECONDS: Final = 0.25
#: A worker that is busy holds messages for some hundredths of a second; one that has ended is started again soon.
POLL_SECONDS: Final = 0.02
#: Phases whose workers always have work while buyers come: each gets SIGTERM while it has messages.
PHASES: Final = frozenset(phase.queue for phase in CHAIN)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An installation with longer bounds, so that a message that waits for its worker never counts as lost."""
    log = tmp_path_factory.mktemp("rolling") / "fleet.log"
    with open_place(log, redeliver_after_seconds=30, redeliver_always_after_seconds=60, heartbeat_seconds=15) as opened:
        empty(opened)
        opened.shelf.add_variant("cup", stock=10_000, price_minor=250)
        yield opened
        opened.assert_sound()


def has_ended(supervisor: Supervisor, unit: str, pid: int) -> bool:
    """Return whether this process of a unit has ended; the next is started after a pause."""
    return supervisor.pids().get(unit) != pid


def is_restarted(supervisor: Supervisor, unit: str, pid: int) -> bool:
    """Return whether another process of a unit has replaced this one."""
    return supervisor.pids().get(unit, pid) != pid


def test_a_rolling_restart_loses_and_repeats_nothing(place: Place) -> None:
    # Given a stream of buyers
    stop = threading.Event()
    bought: list[str] = []

    def buy() -> None:
        with place.client() as client:
            while not stop.is_set():
                cart = make_cart("cup")
                while True:
                    try:
                        response = client.post("/checkout", json=ask(cart), headers=key(cart["id"], 1))
                    except httpx2.TransportError:
                        continue  # the edge is being replaced: the same request again
                    break
                assert response.status_code in {200, 202}, response.text
                bought.append(response.json()["checkout_id"])
                time.sleep(PAUSE_SECONDS)

    supervisor = place.processes.supervisor
    left: set[bytes] = set()
    with Redis.from_url(place.valkey.url) as client, ThreadPoolExecutor(4) as threads:
        buyers = [threads.submit(buy) for _ in range(4)]
        # When each process gets SIGTERM and is started again, one after the other
        units = sorted(supervisor.pids().items())
        for unit, pid in units:
            queue = f"checkout.{unit.removesuffix('.1')}"
            if queue in PHASES:
                wait_until(partial(find_holders, client, queue), f"{unit} holds messages", every_seconds=POLL_SECONDS)
            supervisor.terminate(unit)
            wait_until(partial(has_ended, supervisor, unit, pid), f"{unit} has ended", every_seconds=POLL_SECONDS)
            left |= find_holders(client, queue)
            wait_until(
                partial(is_restarted, supervisor, unit, pid), f"{unit} is started again", every_seconds=POLL_SECONDS
            )
            if queue in PHASES:
                wait_until(partial(find_holders, client, queue), f"{unit} works again", every_seconds=POLL_SECONDS)
        stop.set()
        for each in buyers:
            each.result()
    # Then all are bought, each once
    unfinished = "SELECT count(*) FROM checkouts WHERE state <> 'completed'"
    wait_until(lambda: place.shelf.rows(unfinished) == [(0,)], "all are bought")
    assert len(set(bought)) == len(bought) == place.shelf.rows("SELECT count(*) FROM orders")[0][0] > 20
    # ... no message was lost, and no ended worker kept one
    assert place.shelf.rows("SELECT count(*) FROM events WHERE kind = 'sweep.redelivered'") == [(0,)]
    assert (left, supervisor.restarts) == (set(), len(units))
    # ... and no checkout took longer than a worker takes to start
    [(slowest,)] = place.shelf.rows("SELECT max(extract(epoch FROM ended_at - created_at)) FROM checkouts")
    assert slowest < LONGEST_SECONDS
