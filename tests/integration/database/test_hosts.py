"""Several hosts in one URL: a dead one costs a process one wait, and whoever takes no writes is left."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import URL, Connection, Engine, text

from pipeline.database import connect_engine
from pipeline.database.transactions import TransactionRunner
from pipeline.settings import Settings


class Silent:
    """A host that accepts connections and never says anything, as one that was powered off behind a proxy."""

    def __init__(self) -> None:
        """Listen."""
        self.accepted: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.getsockname()[1])

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for each in self.accepted:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                self.accepted.append(self._server.accept()[0])
            except OSError:
                return


@pytest.fixture
def silent() -> Iterator[Silent]:
    """A host that does not answer."""
    host = Silent()
    yield host
    host.close()


def name_hosts(engine: Engine, *ports: int) -> str:
    """Return the URL of the test's database with these ports of the loopback, and then its own host."""
    url = engine.url
    hosts = [*(["127.0.0.1"] * len(ports)), str(url.host or url.query["host"])]
    own_ports = [*map(str, ports), str(url.port or url.query["port"])]
    several = URL.create(
        "postgresql",
        username=url.username,
        password=url.password,
        database=url.database,
        query={"host": ",".join(hosts), "port": ",".join(own_ports)},
    )
    return several.render_as_string(hide_password=False)


def test_a_dead_host_that_stands_first_is_waited_for_once(settings: Settings, engine: Engine, silent: Silent) -> None:
    # Given a URL whose first host does not answer
    several = connect_engine(settings, application_name="hosts", url=name_hosts(engine, silent.port), pool_size=4)
    with ExitStack() as stack:
        stack.callback(several.dispose)
        # When four connections are opened, and the pool is emptied and opens another one
        for _ in range(4):
            assert stack.enter_context(several.connect()).execute(text("SELECT 1")).scalar_one() == 1
        several.dispose()
        assert stack.enter_context(several.connect()).execute(text("SELECT 1")).scalar_one() == 1
    # Then the dead host was tried once
    assert len(silent.accepted) == 1


def test_what_a_standby_refuses_is_repeated_on_another_connection(settings: Settings) -> None:
    # Given a connection to a server that has become a standby
    own = connect_engine(settings, application_name="hosts", pool_size=1)
    backends: list[int] = []

    def write(connection: Connection) -> str:
        backends.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        if len(backends) == 1:
            connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text("INSERT INTO locations (code) VALUES ('written')"))
        return "done"

    # When
    try:
        assert TransactionRunner(own, waits=(0.001,)).run(write) == "done"
    finally:
        own.dispose()
    # Then it was written once, by another connection
    assert len(set(backends)) == 2
