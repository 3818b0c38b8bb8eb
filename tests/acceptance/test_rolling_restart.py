"""Every process is restarted, one after the other, while checkouts come: nothing is lost, and nothing sent again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import httpx2
import pytest

from scripts.supervisor import Supervisor
from tests.acceptance.edge_place import Place, ask, empty, key, make_cart, open_place, wait_until

pytestmark = pytest.mark.acceptance

#: Longest that a purchase may take while its worker is being replaced: the start of a Python process on a busy machine.
LONGEST_SECONDS: Final = 25.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A shop on the defaults' bounds, so that nothing is taken for lost that merely waits for its worker."""
    log = tmp_path_factory.mktemp("rolling") / "fleet.log"
    with open_place(log, stall_seconds=30, overdue_seconds=60, heartbeat_seconds=15) as opened:
        empty(opened)
        opened.shelf.add_variant("cup", stock=10_000, price_minor=250)
        yield opened
        opened.assert_sound()


def is_restarted(supervisor: Supervisor, count: int) -> bool:
    """Tell whether so many have been started again."""
    return supervisor.restarts >= count


def test_a_rolling_restart_loses_and_repeats_nothing(place: Place) -> None:
    # Given buyers that keep coming
    stop = threading.Event()
    bought: list[str] = []

    def buy() -> None:
        with place.client() as client:
            while not stop.is_set():
                cart = make_cart("cup")
                while True:
                    try:
                        answer = client.post("/checkout", json=ask(cart), headers=key(cart["id"], 1))
                    except httpx2.TransportError:
                        continue  # the edge is being replaced: the same request again
                    break
                assert answer.status_code in {200, 202}, answer.text
                bought.append(answer.json()["checkout_id"])

    supervisor = place.processes.supervisor
    with ThreadPoolExecutor(4) as threads:
        buyers = [threads.submit(buy) for _ in range(4)]
        # When each process is told to end, and started again, one after the other
        for count, name in enumerate(sorted(supervisor.pids()), start=1):
            supervisor.terminate(name)
            wait_until(partial(is_restarted, supervisor, count), f"{name} is started again")
        stop.set()
        for each in buyers:
            each.result()
    # Then all are bought, each once
    unfinished = "SELECT count(*) FROM checkouts WHERE state <> 'completed'"
    wait_until(lambda: place.shelf.rows(unfinished) == [(0,)], "all are bought")
    assert len(set(bought)) == len(bought) == place.shelf.rows("SELECT count(*) FROM orders")[0][0] > 20
    # ... no message was lost, and nobody has waited for longer than a worker takes to start
    assert place.shelf.rows("SELECT count(*) FROM events WHERE kind = 'sweep.resent'") == [(0,)]
    [(slowest,)] = place.shelf.rows("SELECT max(extract(epoch FROM ended_at - created_at)) FROM checkouts")
    assert slowest < LONGEST_SECONDS
