"""Several hosts in one URL: a dead one costs a process one wait, and whoever takes no writes is left."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import OperationalError

from pipeline.database import connect_engine
from pipeline.database.hosts import accepts
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
    # When four connections are opened, and the pool is emptied and opens another one
    for count in (4, 1):
        with ExitStack() as stack:
            for _ in range(count):
                assert stack.enter_context(several.connect()).execute(text("SELECT 1")).scalar_one() == 1
        several.dispose()
    # Then the dead host was tried once
    assert len(silent.accepted) == 1


class Failing(Silent):
    """A host that passes on to a server what it gets, until it is powered off; then it accepts and is silent."""

    def __init__(self, engine: Engine) -> None:
        """Pass on to the server of this engine."""
        self._url = engine.url
        self.is_on = True
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        super().__init__()

    def power_off(self) -> None:
        """Pass nothing on, and break what is open."""
        self.is_on = False
        for pair in self._pairs:
            for each in pair:
                with suppress(OSError):  # the other end was first
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no more."""
        super().close()
        for _, server in self._pairs:
            server.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._server.accept()[0]
            except OSError:
                return
            self.accepted.append(client)
            if self.is_on:
                server = self._dial()
                self._pairs.append((client, server))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _dial(self) -> socket.socket:
        host, port = str(self._url.host or self._url.query["host"]), str(self._url.port or self._url.query["port"])
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def failing(engine: Engine) -> Iterator[Failing]:
    """A host that works until it is powered off."""
    host = Failing(engine)
    yield host
    host.power_off()
    host.close()


def test_the_host_of_a_lost_connection_is_asked_last(settings: Settings, engine: Engine, failing: Failing) -> None:
    # Given a process whose connections are to the first host
    several = connect_engine(settings, application_name="hosts", url=name_hosts(engine, failing.port), pool_size=2)
    with ExitStack() as stack:
        stack.callback(several.dispose)
        for _ in range(2):
            with several.connect() as connection:
                assert connection.execute(text("SELECT 1")).scalar_one() == 1
        assert len(failing.accepted) == 1
        # When that host fails
        failing.power_off()
        assert (
            TransactionRunner(several, waits=(0.001,)).run(lambda own: own.execute(text("SELECT 1")).scalar_one()) == 1
        )
        # Then it was not asked again: the other host answered first
        assert len(failing.accepted) == 1


def test_one_thread_waits_for_the_host_that_was_lost(settings: Settings, engine: Engine, failing: Failing) -> None:
    # Given a process whose host has failed, beside one that refuses every connection
    with socket.create_server(("127.0.0.1", 0)) as free:
        refusing = int(free.getsockname()[1])
    url = make_url(name_hosts(engine, refusing, failing.port))
    hosts, ports = (str(url.query[name]).split(",")[:2] for name in ("host", "port"))
    url = url.set(query={"host": ",".join(hosts), "port": ",".join(ports)})
    both = connect_engine(
        settings, application_name="hosts", url=url.render_as_string(hide_password=False), pool_size=4
    )
    with ExitStack() as stack:
        stack.callback(both.dispose)
        once = TransactionRunner(both, waits=())
        assert once.run(lambda own: own.execute(text("SELECT 1")).scalar_one()) == 1
        failing.power_off()
        with pytest.raises(OperationalError):
            once.run(lambda own: own.execute(text("SELECT 1")))
        before = len(failing.accepted)
        # When four threads look for a host at once
        barrier = threading.Barrier(4)

        def look(_number: int) -> bool:
            barrier.wait()
            with pytest.raises(OperationalError), both.connect():
                pass
            return True

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(look, range(4))) == [True] * 4
        # Then one of them has asked it: whether it accepts a connection, and for one
        assert len(failing.accepted) == before + 2


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


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a host that answers nothing at all, as one without power: its queue of connections is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(server.getsockname())
        yield int(server.getsockname()[1])


def test_a_host_without_power_is_told_from_one_that_refuses(full: int) -> None:
    assert not accepts(("127.0.0.1", str(full)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert accepts(("127.0.0.1", port))
    assert accepts(("127.0.0.1", port))
    assert accepts(("/tmp", port))  # noqa: S108 (nothing is made there)
    assert accepts(("no-such-host.invalid", port))
