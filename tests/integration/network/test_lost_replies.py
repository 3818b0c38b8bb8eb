"""An answer is lost after its request has had its effect: nothing is done twice, and nothing is left undone."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, make_url

from models.states import TERMINAL
from pipeline.audit import audit
from pipeline.database import connect_engine
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works, build_works
from tests.support.proxy import Proxy, once, open_proxy

#: Commits of one purchase, the bank's own among them, are fewer.
COMMITS = 30


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    """A proxy before PostgreSQL."""
    url = make_url(settings.database_url.get_secret_value())
    host, port = url.host or url.query.get("host"), url.port or 5432

    def connect() -> socket.socket:
        if str(host).startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(Path(str(host)) / f".s.PGSQL.{port}"))
            return server
        return socket.create_connection((str(host), port))

    with open_proxy(connect) as opened:
        yield opened


@pytest.fixture
def works(proxy: Proxy, settings: Settings) -> Iterator[Works]:
    """The engine, behind the proxy."""
    url = make_url(settings.database_url.get_secret_value())
    through = url.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(hide_password=False)
    own = settings.model_copy(
        update={
            "database_url": SecretStr(through),
            "redeliver_after_seconds": 0.2,
            "gateway_timeout_seconds": 0.5,
            "gateway_lease_seconds": 1.0,
            "retry_seconds": 0.05,
            "retry_cap_seconds": 0.2,
        }
    )
    database = connect_engine(own, application_name="network", pool_size=3)
    with build_works(database, own) as built:
        yield built
    database.dispose()


def finish(works: Works, checkout_id: object, shelf: Shelf) -> None:
    """Work and sweep until it has ended, by itself."""
    ends_at = time.monotonic() + 30
    while shelf.rows("SELECT state FROM checkouts WHERE id = :id", id=checkout_id)[0][0] not in TERMINAL:
        assert time.monotonic() < ends_at
        works.sweep()
        works.pump()
        time.sleep(0.02)


def test_the_answer_to_any_commit_is_lost(
    works: Works, proxy: Proxy, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    shelf.add_variant("cup", stock=1000, price_minor=250)
    lost = 0
    for nth in range(COMMITS):
        # Given that the answer to the nth commit is lost
        checkout_id = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
        proxy.lose, proxy.lost = once(b"COMMIT", after=nth), 0
        # When
        works.pump()
        proxy.lose = lambda _: False
        finish(works, checkout_id, shelf)
        lost += proxy.lost
        # Then it is one order, at one charge
        assert shelf.rows(
            "SELECT c.state, count(o.id), (SELECT count(*) FROM sandbox.entries e JOIN sandbox.payments s"
            " USING (reference) WHERE s.checkout_id = c.id AND e.kind = 'capture')"
            " FROM checkouts c LEFT JOIN orders o ON o.checkout_id = c.id WHERE c.id = :id GROUP BY c.id",
            id=checkout_id,
        ) == [("completed", 1, 1)], nth
    # Then each commit of a purchase was among them
    assert lost >= 10
    assert shelf.stock("cup") == (1000 - COMMITS, 0)
    with engine.connect() as connection:
        assert audit(connection, settings) == []


def test_an_answer_to_a_start_is_lost(
    works: Works, proxy: Proxy, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    proxy.lose = once(b"COMMIT")
    # When the answer to the commit of the start is lost, it is repeated: the same key finds the same checkout
    checkout_id = works.start(cart_id, token="tok_ok", idempotency_key="key")
    assert proxy.lost == 1
    assert works.start(cart_id, token="tok_ok", idempotency_key="key") == checkout_id
    finish(works, checkout_id, shelf)
    assert shelf.rows("SELECT count(*) FROM checkouts") == [(1,)]
    with engine.connect() as connection:
        assert audit(connection, settings) == []


def test_a_network_that_swallows_everything_for_seconds(
    works: Works, proxy: Proxy, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    shelf.add_variant("cup", stock=9, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    # When nothing passes for two seconds, in the middle of the work
    lift = threading.Timer(2, proxy.hole.clear)
    proxy.hole.set()
    lift.start()
    works.pump()
    finish(works, checkout_id, shelf)
    # Then
    assert shelf.rows("SELECT state FROM checkouts") == [("completed",)]
    assert shelf.stock("cup") == (8, 0)
    with engine.connect() as connection:
        assert audit(connection, settings) == []
