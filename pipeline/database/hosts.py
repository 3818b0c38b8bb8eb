"""The order in which the hosts of a URL are tried: the one that worked last first, the one that was lost last.

libpq tries them in the order of the URL, and waits three seconds for each that does not answer. Without this order a
dead host that stands first costs every new connection as much, and the dead primary of a failover each process. And
nobody waits so long for the host that was lost: the new primary may be there meanwhile.
"""

import socket
import threading
from typing import Any, Final

import psycopg
from sqlalchemy import Engine, event

Host = tuple[str, str]

#: In the facts that the pool keeps of a connection: the connection itself cannot say so any more once it is lost.
HOST: Final = "host"
#: A host with power accepts a connection in much less, on another continent too.
ACCEPT_SECONDS: Final = 0.5


class HostOrder:
    """The order of one process, for one engine. Thread-safe: the references in it are replaced as a whole."""

    def __init__(self) -> None:
        """Know of none that worked or was lost."""
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
        if lost not in hosts or not others:
            return self._ask(others or hosts, dialect, arguments, parameters)
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


def accepts(host: Host) -> bool:
    """Return whether a host accepts connections, or refuses them at once; a dead one does neither."""
    name, port = host
    if name.startswith("/"):
        return True
    try:
        socket.create_connection((name, int(port)), ACCEPT_SECONDS).close()
    except TimeoutError:
        return False
    except OSError:  # libpq says what is wrong
        return True
    return True
