"""The order in which the hosts of a URL are tried: the one that worked last first, the one that was lost last.

libpq tries them in the order of the URL, and waits three seconds for each that does not answer. Without this order a
dead host that stands first costs every new connection as much, and the dead primary of a failover each process. And
nobody waits so long for the host that was lost: the new primary may be there meanwhile.

It refuses hosts that are no cluster. The first connection that may write asks the hosts after its own whether they take
writes too, and no later one may be to another cluster: otherwise there would be two truths.
"""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from sqlalchemy import Engine, event

Host = tuple[str, str]

#: In the facts that the pool keeps of a connection: the connection itself cannot say so any more once it is lost.
HOST: Final = "host"
#: What `target_session_attrs` says where rows are written.
WRITING: Final = ("read-write", "primary")
#: A host with power accepts a connection in much less, on another continent too.
ACCEPT_SECONDS: Final = 0.5

SERVER: Final = """
    SELECT system_identifier, pg_postmaster_start_time(),
           NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
    FROM pg_control_system()
"""


class HostsDisagreeError(psycopg.OperationalError):
    """The hosts of one URL are not those of one cluster. The message is one sentence, without any secret."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `cluster` is PostgreSQL's system identifier; two proxies may lead to one server."""

    cluster: int
    started_at: datetime
    takes_writes: bool


class HostOrder:
    """The order of one process, for one engine. Thread-safe: the references in it are replaced as a whole."""

    def __init__(self, variable: str) -> None:
        """Know of none that worked or was lost. Errors name the variable that has the hosts."""
        self._variable = variable
        self._cluster: int | None = None
        self._known: frozenset[Host] = frozenset()
        self._last: Host | None = None
        self._lost: Host | None = None
        self._asking_lost = threading.Lock()

    def apply(self, engine: Engine) -> None:
        """Order the hosts of each new connection of this engine, if its URL has several."""
        if "," in str(engine.url.query.get("host", "")):
            event.listen(engine, "do_connect", self._connect)
            event.listen(engine, "connect", self._note)
            event.listen(engine, "invalidate", self._demote)

    def _connect(self, dialect: Any, _record: object, arguments: Any, parameters: dict[str, Any]) -> Any:
        hosts = list(zip(parameters["host"].split(","), parameters["port"].split(","), strict=True))
        # Read once: another thread may change it.
        lost = self._lost
        # Stable: the others stay in the order of the URL.
        others = sorted((each for each in hosts if each != lost), key=lambda each: each != self._last)
        asked = [*others, lost] if lost in hosts else others
        connection = self._find(others, lost if lost in hosts else None, dialect, arguments, parameters)
        if parameters.get("target_session_attrs") in WRITING:
            try:
                self._check(connection, asked, parameters)
            except psycopg.Error:
                connection.close()
                raise
        return connection

    def _find(
        self, others: list[Host], lost: Host | None, dialect: Any, arguments: Any, parameters: dict[str, Any]
    ) -> Any:
        """Return a connection to one of these hosts."""
        if lost is None or not others:
            return self._ask(others if lost is None else [lost], dialect, arguments, parameters)
        try:
            return self._ask(others, dialect, arguments, parameters)
        except psycopg.OperationalError:
            # One thread at a time: a host that accepts may still say nothing.
            if not self._asking_lost.acquire(blocking=False):
                raise
            try:
                if not accepts(lost):
                    raise
                return self._ask([lost], dialect, arguments, parameters)
            finally:
                self._asking_lost.release()

    def _check(self, connection: psycopg.Connection[Any], asked: list[Host], parameters: dict[str, Any]) -> None:
        """Raise HostsDisagreeError unless this is the server that takes writes, in the cluster known so far."""
        host = (connection.info.host, str(connection.info.port))
        # After a failover a chain of processes connects anew, one after another: nothing is asked twice.
        if host in self._known or (own := identify(connection)) is None:
            return
        known = {host}
        if self._cluster is None:
            # Those before it have just been asked whether they take writes.
            for other in asked[asked.index(host) + 1 :] if host in asked else ():
                if (found := self._look_at(other, parameters)) is not None:
                    self._compare(own, found, f"{name_host(host)} and {name_host(other)} of {self._variable}")
                    known.add(other)
            self._cluster = own.cluster
        elif self._cluster != own.cluster:
            raise HostsDisagreeError(
                f"{name_host(host)} of {self._variable} is of another cluster than before: name the hosts of one."
            )
        self._known |= known

    @staticmethod
    def _look_at(host: Host, parameters: dict[str, Any]) -> Server | None:
        if accepts(host):
            alone = {**parameters, "host": host[0], "port": host[1], "target_session_attrs": "any"}
            with suppress(psycopg.Error), psycopg.connect(**alone) as connection:
                return identify(connection)
        return None

    @staticmethod
    def _compare(own: Server, other: Server, both: str) -> None:
        if own.started_at == other.started_at:
            return
        if own.cluster != other.cluster:
            raise HostsDisagreeError(f"{both} are of two clusters: name the hosts of one.")
        if other.takes_writes:
            raise HostsDisagreeError(f"{both} both take writes: stop the one that is not the primary.")

    @staticmethod
    def _ask(hosts: list[Host], dialect: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
        ordered = {"host": ",".join(host for host, _ in hosts), "port": ",".join(port for _, port in hosts)}
        # The parameters are those of all threads: they are copied, not changed.
        return dialect.connect(*arguments, **{**parameters, **ordered})

    def _note(self, connection: Any, record: Any) -> None:
        host = (connection.info.host, str(connection.info.port))
        record.info[HOST] = self._last = host
        if self._lost == host:
            self._lost = None

    def _demote(self, _connection: object, record: Any, _error: object) -> None:
        # A host that has lost a connection is dead, or a standby by now. If it is neither, the others refuse at once,
        # and it is asked after them.
        self._lost = record.info.get(HOST)
        if self._last == self._lost:
            self._last = None


def name_host(host: Host) -> str:
    """Return a host as sentences show it."""
    return host[0] if host[0].startswith("/") else ":".join(host)


def identify(connection: psycopg.Connection[Any]) -> Server | None:
    """Return the server of a connection, and leave no transaction open; None where it does not say who it is."""
    try:
        row = connection.execute(SERVER).fetchone()
    except psycopg.Error:
        row = None
    connection.rollback()
    return None if row is None else Server(*row)


def accepts(host: Host) -> bool:
    """Return whether a host accepts connections, or refuses them at once; a dead one does neither."""
    address, port = host
    if address.startswith("/"):
        return True
    try:
        socket.create_connection((address, int(port)), ACCEPT_SECONDS).close()
    except TimeoutError:
        return False
    except OSError:  # libpq says what is wrong
        return True
    return True
