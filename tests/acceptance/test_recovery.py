"""How long it takes until everything goes on, on the defaults of every bound, and with nothing restarted by hand.

What docs/production.md states: 15 s after a lost message, a dead or frozen worker, a lost Redis; 10 s after PostgreSQL.
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
#: Their places in the tests of processes are shorter; here they are what a user gets.
DEFAULTS: Final = (
    "redeliver_after_seconds",
    "redeliver_always_after_seconds",
    "sweep_interval_seconds",
    "heartbeat_seconds",
    "poll_interval_seconds",
    "retry_seconds",
    "retry_cap_seconds",
    "gateway_timeout_seconds",
    "gateway_lease_seconds",
)
#: The phase that two processes share, and before which everybody is held up.
PHASE: Final = "order_creation"
COUNT: Final = 5
LOST: Final = LOST_COUNT.replace(":window_seconds", "3600")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A shop on the defaults, one phase served by two."""
    changes = {name: Settings.model_fields[name].default for name in DEFAULTS}
    with open_place(tmp_path_factory.mktemp("recovery") / "fleet.log", twice=PHASE, **changes) as opened:
        yield opened


@pytest.fixture
def place(shop: Place) -> Iterator[Place]:
    """The shop with many cups; sound at the end, and nobody has started anything."""
    empty(shop)
    shop.shelf.add_variant("cup", stock=100, price_minor=250)
    yield shop
    shop.assert_sound()


def hold_up(place: Place) -> list[str]:
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
    """Have them stand still."""
    for unit in units:
        place.processes.supervisor.kill(unit, signal.SIGSTOP)


def start_some(place: Place, token: str = "tok_ok") -> None:
    """Start checkouts; returns once all have come to the phase, or wait for the answer to a call."""
    with place.client() as client:
        for number in range(COUNT):
            assert client.post("/checkout", json=ask(make_cart("cup"), token), headers=key(number)).status_code == 202
    there = "SELECT count(*) FROM checkouts WHERE phase = 4"
    if token != "tok_ok":
        there = "SELECT count(*) FROM payment_operations WHERE kind = 'authorize' AND leased_until > now()"
    wait_until(lambda: place.shelf.rows(there) == [(COUNT,)], "they are there")


def release(place: Place, units: list[str]) -> None:
    """Let them go on."""
    for unit in units:
        place.processes.supervisor.kill(unit, signal.SIGCONT)


def measure(place: Place, bound: float) -> None:
    """Assert that from now on all are orders within the bound."""
    began = time.monotonic()
    wait_until(lambda: place.shelf.rows("SELECT count(*) FROM orders") == [(COUNT,)], "all are ordered", bound)
    wait_until(
        lambda: place.shelf.rows("SELECT count(*) FROM checkouts WHERE state = 'completed'") == [(COUNT,)], "all end"
    )
    print(f"{time.monotonic() - began:.1f} s")  # noqa: T201 (what the bound is held against)


def test_after_lost_messages(place: Place) -> None:
    # Given workers that stand still, and messages that are gone
    units = hold_up(place)
    keys = QueueKeys.name(NAMESPACE, f"checkout.{PHASE}")
    with Redis.from_url(place.valkey.url) as client:
        assert client.delete(keys.waiting, keys.messages) == 2
    # When
    release(place, units)
    # Then
    measure(place, BOUND_SECONDS)


def test_after_an_emptied_redis(place: Place) -> None:
    units = hold_up(place)
    with Redis.from_url(place.valkey.url) as client:
        client.flushdb()
    release(place, units)
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
        # When it freezes, for ever
        freeze(place, [holder])
        connection.rollback()
    release(place, [other])
    # Then
    try:
        measure(place, BOUND_SECONDS)
        assert place.shelf.rows("SELECT count(*) > 0 FROM events WHERE kind = 'sweep.redelivered'") == [(True,)]
    finally:
        release(place, [holder])
    # And once it is back it is known that nothing was lost
    wait_until(lambda: place.shelf.rows(LOST) == [(0,)], "all that was sent again is known as slow")


def test_after_both_workers_were_killed(place: Place) -> None:
    for unit in hold_up(place):
        place.processes.supervisor.kill(unit, signal.SIGKILL)
    measure(place, BOUND_SECONDS)


def test_after_a_redis_that_was_away(place: Place) -> None:
    # Given a Redis that is gone, with all it had
    units = hold_up(place)
    place.valkey.stop()
    release(place, units)
    time.sleep(3)
    # When
    place.valkey.start()
    # Then
    measure(place, BOUND_SECONDS)


def test_after_a_crash_of_postgresql(place: Place) -> None:
    units = hold_up(place)
    place.cut_postgres()
    release(place, units)
    time.sleep(3)
    place.postgres.start()
    measure(place, POSTGRES_BOUND_SECONDS)


def test_after_a_crash_of_postgresql_while_the_bank_is_asked(place: Place) -> None:
    start_some(place, "tok_authorize_slow")
    place.cut_postgres()
    time.sleep(4)
    place.postgres.start()
    measure(place, POSTGRES_BOUND_SECONDS)


def test_after_a_worker_was_killed_while_the_bank_is_asked(place: Place) -> None:
    # Given calls that the bank has carried out, and that nobody else makes before their leases have run out
    start_some(place, "tok_authorize_timeout_after")
    held = "SELECT count(*) FROM sandbox.payments WHERE status = 'authorized'"
    wait_until(lambda: place.shelf.rows(held) == [(COUNT,)], "the bank holds the money")
    place.processes.supervisor.kill("payment_authorization", signal.SIGKILL)
    measure(place, BOUND_SECONDS)
