"""The HTTP process beside a cluster: lists from the standby, everything else from the primary, and what is reported."""

from collections.abc import Iterator
from threading import Thread
from threading import enumerate as enumerate_threads
from typing import Final

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, make_url

from pipeline.database import connect_engine
from pipeline.saga import find_phase
from pipeline.security import Scope, create_key
from pipeline.settings import Settings, SettingsError
from tests.integration.workers.web.outages import NO_DATABASE, listen_and_say_nothing, open_web
from tests.integration.workers.web.stage import find_url, pay, put_cart, serve, spin_until, start
from tests.integration.workers.web.test_metrics import read
from tests.support.harness import OWNER, Shelf, build_works
from tests.support.standby import NAME, Cluster
from workers.web.server import Server, build_server

LIST: Final = "/admin/checkout-locks"
PAGE: Final = {"Accept": "text/html"}
#: The groups of the edge are answered at once: nothing works on the checkouts.
NOW: Final = {"Prefer": "wait=0"}


@pytest.fixture(scope="module")
def tokens(shop_on_cluster: Engine) -> dict[Scope, str]:
    """A key of each scope."""
    with shop_on_cluster.begin() as connection:
        return {
            scope: create_key(connection, owner=OWNER, name=f"{scope} test", scopes=[scope])[1]
            for scope in (Scope.ADMIN, Scope.CHECKOUT)
        }


@pytest.fixture(scope="module")
def server(shop_on_cluster: Engine, cluster_settings: Settings) -> Iterator[Server]:
    """The application, with the standby to read."""
    del shop_on_cluster
    with serve(cluster_settings) as server:
        yield server


def call(server: Server, token: str) -> httpx2.Client:
    """Return a client with this key."""
    return httpx2.Client(base_url=find_url(server), headers={"Authorization": f"Bearer {token}"}, timeout=20)


@pytest.fixture
def desk(server: Server, tokens: dict[Scope, str]) -> Iterator[httpx2.Client]:
    """A client of the admin."""
    with call(server, tokens[Scope.ADMIN]) as client:
        yield client


@pytest.fixture
def shop(server: Server, tokens: dict[Scope, str]) -> Iterator[httpx2.Client]:
    """A client of a shop."""
    with call(server, tokens[Scope.CHECKOUT]) as client:
        yield client


def test_lists_are_of_the_standby_and_all_that_must_be_fresh_is_not(
    cluster: Cluster, desk: httpx2.Client, shop: httpx2.Client
) -> None:
    with cluster.pause():
        # Given a checkout that only the primary knows
        before = len(desk.get(LIST).json()["checkouts"])
        started = start(shop, put_cart(shop, ("cup", 1)), **NOW).json()["checkout_id"]
        cluster.wait_for_changes()
        # When
        listed, figures = desk.get(LIST).json(), desk.get(f"{LIST}/statistics").json()
        # Then the list and the statistics do not have it, and say how old they are
        assert len(listed["checkouts"]) == before
        assert (listed["standby"]["lag_seconds"] > 0, figures["standby"]["lag_seconds"] > 0) == (True, True)
        assert started not in [each["id"] for each in listed["checkouts"]]
        # And the metrics are those of the primary
        found = read(desk.get("/metrics").text)
        running = found["checkout_checkouts", frozenset({("state", "running")})]
        assert (figures["states"]["completed"], running) == (1, figures["states"]["running"] + 1)
        assert found["checkout_replication_lag_bytes", frozenset({("standby", NAME)})] > 0
        # And what is decided on knows it
        assert shop.get("/checkout/status", params={"checkout_id": started}).json()["state"] == "running"
        assert desk.get(f"{LIST}/{started}").json()["checkout"]["checkout_id"] == started
        released = desk.post(f"{LIST}/{started}/release", json={"reason": "a test"})
        assert (released.status_code, released.json()["changed"]) == (200, True)


def test_pages_say_so_in_words(desk: httpx2.Client) -> None:
    for path in (LIST, f"{LIST}/statistics"):
        page = desk.get(path, headers=PAGE)
        assert (page.status_code, "Read from a standby, as of " in page.text) == (200, True)


def test_without_the_setting_nothing_is_said(cluster_settings: Settings, tokens: dict[Scope, str]) -> None:
    own = cluster_settings.model_copy(update={"read_url": None})
    with serve(own) as server, call(server, tokens[Scope.ADMIN]) as client:
        assert client.get(LIST).json()["standby"] is None
        assert client.get(f"{LIST}/statistics").json()["standby"] is None
        for path in (LIST, f"{LIST}/statistics"):
            assert "standby" not in client.get(path, headers=PAGE).text


def test_a_standby_that_is_away_is_reported_and_the_primary_is_not_read(
    cluster_settings: Settings, tokens: dict[Scope, str]
) -> None:
    sentence = (
        "The database of CHECKOUT_READ_URL cannot be read (it does not answer): repair it, or unset CHECKOUT_READ_URL."
    )
    own = cluster_settings.model_copy(update={"read_url": SecretStr(NO_DATABASE)})
    with serve(own) as server, call(server, tokens[Scope.ADMIN]) as desk, call(server, tokens[Scope.CHECKOUT]) as shop:
        for path in (LIST, f"{LIST}/statistics"):
            answer, page = desk.get(path), desk.get(path, headers=PAGE)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert (answer.json()["code"], answer.json()["detail"]) == ("reading_unavailable", sentence)
            assert (page.status_code, sentence in page.text, "127.0.0.1" in page.text) == (503, True, False)
        # Everything else goes on
        started = start(shop, put_cart(shop, ("cup", 1)), **NOW)
        assert started.status_code == 202
        assert desk.get(f"{LIST}/{started.json()['checkout_id']}").status_code == 200
        assert desk.get("/metrics").status_code == 200
        health = desk.get("/health/checkout").json()
        assert health["checks"]["database"]["status"] == "healthy"


def test_a_standby_that_hangs_delays_nobody_else(cluster_settings: Settings, tokens: dict[Scope, str]) -> None:
    # Given as many requests of lists as the process has threads for purchases, and a standby that says nothing
    statuses: list[int] = []
    with listen_and_say_nothing() as port:
        url = SecretStr(f"postgresql://people@127.0.0.1:{port}/shop")
        own = cluster_settings.model_copy(update={"read_url": url, "web_connections": 2})
        with serve(own) as server, call(server, tokens[Scope.ADMIN]) as desk:
            lists = [Thread(target=lambda: statuses.append(desk.get(LIST).status_code)) for _ in range(2)]
            for each in lists:
                each.start()
            spin_until(lambda: {"reader_0", "reader_1"} <= {each.name for each in enumerate_threads()}, "both hang")
            # When
            with call(server, tokens[Scope.CHECKOUT]) as shop:
                put_cart(shop, ("cup", 1))
            # Then it is answered before them
            assert statuses == []
            for each in lists:
                each.join()
    assert statuses == [503, 503]


def test_a_setting_that_is_no_address_ends_the_start(cluster_settings: Settings) -> None:
    own = cluster_settings.model_copy(update={"read_url": SecretStr("http://secret-word@nowhere")})
    with pytest.raises(SettingsError) as refusal:
        build_server(own)
    assert str(refusal.value) == (
        "CHECKOUT_READ_URL is not a database address: use one such as postgresql://user@host/name, or"
        " postgresql://user@host:5432,host:5432/name."
    )


def test_health_and_metrics_have_the_lag(cluster: Cluster, desk: httpx2.Client) -> None:
    def is_current() -> bool:
        found = read(desk.get("/metrics").text)
        figures = {name: value for (name, _), value in found.items() if "replication" in name or "standby" in name}
        return figures == {
            "checkout_replication_lag_seconds": 0,
            "checkout_replication_lag_bytes": 0,
            "checkout_synchronous_standbys_missing": 0,
        }

    cluster.wait(is_current, "the standby is current")
    checks = desk.get("/health/checkout").json()["checks"]
    assert checks["replication_lag"]["status"] == "healthy"
    assert checks["replication_lag"]["message"].startswith("Behind by ")
    assert checks["synchronous_standbys"] == {"status": "healthy", "count": 0, "message": "None is configured."}
    # The report is public.
    assert NAME not in str(checks)


def test_a_read_only_primary_answers_503_and_no_attempt_is_counted(
    cluster: Cluster, shop_on_cluster: Engine, cluster_settings: Settings, tokens: dict[Scope, str]
) -> None:
    shelf = Shelf(shop_on_cluster)
    with build_works(shop_on_cluster, cluster_settings) as works:
        waiting = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    cart_id = shelf.add_cart(("cup", 1))
    before = shelf.rows("SELECT attempts, fence, state, phase FROM checkouts WHERE id = :id", id=waiting)
    cluster.set_read_only(is_read_only=True)
    try:
        with serve(cluster_settings) as server, call(server, tokens[Scope.CHECKOUT]) as client:
            for answer in (start(client, cart_id), pay(client, {"cart_id": cart_id})):
                assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
            health = client.get("/health/checkout")
            with call(server, tokens[Scope.ADMIN]) as desk:
                found = read(desk.get("/metrics").text)
        # A worker tries, and gives the checkout back
        engine = connect_engine(cluster_settings, application_name="test.worker")
        with build_works(engine, cluster_settings) as works:
            works.runner.run(find_phase(1), [waiting])
        engine.dispose()
    finally:
        cluster.set_read_only(is_read_only=False)
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    assert health.json()["checks"]["database"]["message"] == (
        "PostgreSQL takes no writes: set default_transaction_read_only to off there."
    )
    assert found["checkout_database_read_only", frozenset()] == 1
    assert shelf.rows("SELECT attempts, fence, state, phase FROM checkouts WHERE id = :id", id=waiting) == before
    assert shelf.rows("SELECT count(*) FROM checkouts WHERE cart_id = :id", id=cart_id) == [(0,)]


@pytest.mark.parametrize("hosts", [1, 2])
def test_an_address_of_standbys_only_is_unhealthy_in_one_sentence(
    cluster: Cluster, shop_on_cluster: Engine, cluster_settings: Settings, hosts: int
) -> None:
    del shop_on_cluster
    folders, ports = ",".join([str(cluster.standby.folder)] * hosts), ",".join(["5432"] * hosts)
    url = make_url(cluster.url).set(query={"host": folders, "port": ports})
    with open_web(cluster_settings, database=url.render_as_string(hide_password=False)) as client:
        answer = client.get("/health/checkout")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (
        503,
        {
            "status": "unhealthy",
            "count": None,
            "message": "DATABASE_URL leads to a standby, which takes no writes: name the primary, or all hosts of the"
            " cluster.",
        },
    )
