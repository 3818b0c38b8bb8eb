"""Redis takes a message, and its answer is lost: the sender takes it for unsent, and nothing happens twice."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, make_url

from pipeline.audit import audit
from pipeline.intake import PaymentInput, StartRequest
from pipeline.saga.sweep import sweep
from pipeline.settings import Settings
from tests.integration.workers.web.stage import spin_until, work
from tests.support.harness import OWNER, Shelf
from tests.support.patience import PATIENT_BANK
from tests.support.proxy import Proxy, once, open_proxy
from workers.bootstrap import Components
from workers.broker.publisher import PAUSE_SECONDS
from workers.overview import is_idle

#: Sends of one purchase: of its start, and of each phase but the last.
SENDS = 7


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    """A proxy before Redis."""
    url = make_url(settings.redis_url.get_secret_value())
    with open_proxy(lambda: socket.create_connection((url.host, url.port))) as opened:
        yield opened


@dataclass
class Clock:
    """The sender's clock. It stands still until the test sets it forward: a pause is over when the test says so."""

    seconds: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def running(proxy: Proxy, settings: Settings, clock: Clock) -> Iterator[Components]:
    """Every actor on threads, its Redis behind the proxy."""
    url = make_url(settings.redis_url.get_secret_value()).set(host="127.0.0.1", port=proxy.port)
    through = SecretStr(url.render_as_string(hide_password=False))
    own = {"redis_url": through, "poll_interval_seconds": 0.1, "redeliver_after_seconds": 1, **PATIENT_BANK}
    with work(settings.model_copy(update=own)) as engine:
        engine.publisher._clock = clock
        # A server that does not know the script is sent it, and each of them would count as a send.
        engine.broker.client.script_load(engine.broker.worker_scripts.enqueue.script)
        yield engine


def is_at_rest(running: Components) -> bool:
    """Return whether no message waits or is in flight, and no call was left behind: only a sweep continues."""
    client = running.broker.client
    return is_idle(client) and running.executor._left == 0 and is_idle(client)


@pytest.mark.parametrize("nth", range(SENDS))
def test_the_answer_to_any_send_is_lost(
    running: Components,
    proxy: Proxy,
    clock: Clock,
    shelf: Shelf,
    engine: Engine,
    settings: Settings,
    nth: int,
) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    # When Redis has the nth message, and the connection ends before it says so
    proxy.lose = once(b'"actor_name"', after=nth)
    request = StartRequest(
        owner=OWNER,
        cart_id=shelf.add_cart(("cup", 1)),
        payment=PaymentInput(token="tok_ok"),
        idempotency_key="order-1",
    )
    checkout_id = running.service.start(request).checkout_id
    # Then its phase runs; the next message is not sent, because Redis is left alone for a second
    phase = "SELECT phase FROM checkouts WHERE id = :id"
    spin_until(lambda: shelf.rows(phase, id=checkout_id) == [(nth + 1,)], "the message is worked on")
    spin_until(lambda: is_at_rest(running), "no worker has work")
    assert (proxy.lost, shelf.rows(phase, id=checkout_id)) == (1, [(nth + 1,)])
    # When the second is over, and the sweep runs while no worker has work: what is slow is not lost
    clock.seconds += PAUSE_SECONDS

    def is_over() -> bool:
        if is_at_rest(running):
            sweep(running.transactions, running.publisher, running.backlog, running.settings)
        return shelf.rows("SELECT state FROM checkouts WHERE id = :id", id=checkout_id) == [("completed",)]

    spin_until(is_over, "it is bought")
    # Then
    assert proxy.lost == 1
    assert shelf.rows("SELECT kind, count(*) FROM sandbox.entries GROUP BY kind ORDER BY kind") == [
        ("authorize", 1),
        ("capture", 1),
    ]
    assert shelf.rows("SELECT count(*) FROM orders") == [(1,)]
    # ... and what was there was not sent again: only the next one
    [(redelivered,)] = shelf.rows("SELECT count(*) FROM events WHERE kind = 'sweep.redelivered'")
    assert redelivered == int(nth < SENDS - 1)
    with engine.connect() as connection:
        assert audit(connection, settings) == []
