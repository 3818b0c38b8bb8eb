"""The time until every checkout goes on after a fault, with all defaults and without a manual restart.

The bounds of docs/production.md: 15 s after a lost message, a killed or frozen worker, a lost Redis; 10 s after
PostgreSQL's return.
"""

import signal
import time
from collections.abc import Iterator
from typing import Final

import pytest
from redis import Redis

from pipeline.saga.slow import LOST_COUNT
from pipeline.settings import Settings
from tests.acceptance.edge_place import Place, ask, empty, key, make_cart, open_place, wait_until
from tests.support.processes import find_holders
from workers.broker.queue_stats import NAMESPACE, QueueKeys

pytestmark = pytest.mark.acceptance

BOUND_SECONDS: Final = 15.0
POSTGRES_BOUND_SECONDS: Final = 10.0
#: Other tests of processes shorten these settings; here they have their defaults.
DEFAULTS: Final = (
    "redeliver_after_seconds",
    "redeliver_always_after_seconds",
    "sweep_interval_seconds",
    "heartbeat_seconds",
    "retry_seconds",
    "retry_cap_seconds",
    "gateway_timeout_seconds",
    "gateway_lease_seconds",
)
#: The phase that two processes share, and before which the checkouts wait.
PHASE: Final = "order_creation"
COUNT: Final = 5
LOST: Final = LOST_COUNT.replace(":window_seconds", "3600")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An installation with the defaults, one phase served by two workers."""
    changes = {name: Settings.model_fields[name].default for name in DEFAULTS}
    with open_place(tmp_path_factory.mktemp("recovery") / "fleet.log", twice=PHASE, **changes) as opened:
        yield opened


@pytest.fixture
def place(shop: Place) -> Iterator[Place]:
    """The installation with many cups. Every invariant must hold after each test."""
    empty(shop)
    shop.shelf.add_variant("cup", stock=100, price_minor=250)
    yield shop
    shop.assert_sound()


def freeze_phase(place: Place) -> list[str]:
    """Freeze the workers of the phase, and return them once some checkouts wait for it."""
    units = find_units(place)
    freeze(place, units)
    start_some(place)
    return units


def find_units(place: Place) -> list[str]:
    """Return the two workers of the phase."""
    units = [unit for unit in place.processes.supervisor.pids() if PHASE in unit]
    assert len(units) == 2
    return units


def freeze(place: Place, units: list[str]) -> None:
    """Suspend these units."""
    for unit in units:
        place.processes.supervisor.kill(unit, signal.SIGSTOP)


def start_some(place: Place, token: str = "tok_ok", *, phase: int = 4) -> None:
    """Start checkouts; return once all have completed so many phases."""
    with place.client() as client:
        for number in range(COUNT):
            assert client.post("/checkout", json=ask(make_cart("cup"), token), headers=key(number)).status_code == 202
    there = f"SELECT count(*) FROM checkouts WHERE phase = {phase}"
    wait_until(lambda: place.shelf.rows(there) == [(COUNT,)], "they are there")


def start_calls(place: Place, token: str) -> None:
    """Start checkouts; return while all wait for a gateway call, which their worker makes at the same time."""
    freeze(place, ["payment_authorization"])
    start_some(place, token, phase=3)
    resume(place, ["payment_authorization"])
    called = "SELECT count(*) FROM payment_operations WHERE kind = 'authorize' AND leased_until > now()"
    wait_until(lambda: place.shelf.rows(called) == [(COUNT,)], "all wait for the gateway")


def resume(place: Place, units: list[str]) -> None:
    """Resume these units."""
    for unit in units:
        place.processes.supervisor.kill(unit, signal.SIGCONT)


def measure(place: Place, bound: float) -> None:
    """Assert that from now on all are orders within the bound."""
    began = time.monotonic()
    wait_until(lambda: place.shelf.rows("SELECT count(*) FROM orders") == [(COUNT,)], "all are ordered", bound)
    wait_until(
        lambda: place.shelf.rows("SELECT count(*) FROM checkouts WHERE state = 'completed'") == [(COUNT,)], "all end"
    )
    print(f"{time.monotonic() - began:.1f} s")  # noqa: T201 (compared with the bound)


def test_after_lost_messages(place: Place) -> None:
    # Given suspended workers, and lost messages
    units = freeze_phase(place)
    keys = QueueKeys.name(NAMESPACE, f"checkout.{PHASE}")
    with Redis.from_url(place.valkey.url) as client:
        assert client.delete(keys.waiting, keys.messages) == 2
    # When
    resume(place, units)
    # Then
    measure(place, BOUND_SECONDS)


def test_after_an_emptied_redis(place: Place) -> None:
    units = freeze_phase(place)
    with Redis.from_url(place.valkey.url) as client:
        client.flushdb()
    resume(place, units)
    measure(place, BOUND_SECONDS)


def test_beside_a_frozen_worker_that_holds_messages(place: Place) -> None:
    # Given one of two workers in the middle of a batch, with row locks
    holder, other = find_units(place)
    freeze(place, [other])
    with place.engine.connect() as connection, Redis.from_url(place.valkey.url) as client:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.exec_driver_sql("LOCK TABLE orders IN EXCLUSIVE MODE")
        start_some(place)
        wait_until(lambda: find_holders(client, f"checkout.{PHASE}"), "some are held")
        # When it freezes
        freeze(place, [holder])
        connection.rollback()
    resume(place, [other])
    # Then
    try:
        measure(place, BOUND_SECONDS)
        assert place.shelf.rows("SELECT count(*) > 0 FROM events WHERE kind = 'sweep.redelivered'") == [(True,)]
    finally:
        resume(place, [holder])
    # And once it is back no message counts as lost
    wait_until(lambda: place.shelf.rows(LOST) == [(0,)], "all redelivered messages count as slow")


def test_after_both_workers_were_killed(place: Place) -> None:
    for unit in freeze_phase(place):
        place.processes.supervisor.kill(unit, signal.SIGKILL)
    measure(place, BOUND_SECONDS)


def test_after_an_unavailable_redis(place: Place) -> None:
    # Given a Redis that has ended with all its messages
    units = freeze_phase(place)
    place.valkey.stop()
    resume(place, units)
    time.sleep(3)
    # When
    place.valkey.start()
    # Then
    measure(place, BOUND_SECONDS)


def test_after_a_crash_of_postgresql(place: Place) -> None:
    units = freeze_phase(place)
    place.cut_postgres()
    resume(place, units)
    time.sleep(3)
    place.postgres.start()
    measure(place, POSTGRES_BOUND_SECONDS)


def test_after_a_crash_of_postgresql_during_gateway_calls(place: Place) -> None:
    start_calls(place, "tok_authorize_slow")
    place.cut_postgres()
    time.sleep(4)
    place.postgres.start()
    measure(place, POSTGRES_BOUND_SECONDS)


def test_after_a_worker_was_killed_during_gateway_calls(place: Place) -> None:
    # Given calls that the bank has carried out, and that no other worker makes before their leases have expired
    start_calls(place, "tok_authorize_timeout_after")
    held = "SELECT count(*) FROM sandbox.payments WHERE status = 'authorized'"
    wait_until(lambda: place.shelf.rows(held) == [(COUNT,)], "the bank has authorised all")
    place.processes.supervisor.kill("payment_authorization", signal.SIGKILL)
    measure(place, BOUND_SECONDS)
