"""The order in which the hosts of a URL are tried: the one that worked last is the first.

libpq tries them in the order of the URL, and waits three seconds for each that does not answer. Without this order a
dead host that stands first costs every new connection as much.
"""

from typing import Any

from sqlalchemy import Engine, event


class HostOrder:
    """The order of one process, for one engine. Thread-safe: the one reference in it is replaced as a whole."""

    def __init__(self) -> None:
        """Know of none that worked."""
        self._last: tuple[str, str] | None = None

    def apply(self, engine: Engine) -> None:
        """Order the hosts of each new connection of this engine, if its URL has several."""
        if "," in str(engine.url.query.get("host", "")):
            event.listen(engine, "do_connect", self._connect)
            event.listen(engine, "connect", self._note)

    def _connect(self, dialect: Any, _record: object, arguments: Any, parameters: dict[str, Any]) -> Any:
        hosts = list(zip(parameters["host"].split(","), parameters["port"].split(","), strict=True))
        # Stable: the others stay in the order of the URL.
        hosts.sort(key=lambda each: each != self._last)
        ordered = {"host": ",".join(host for host, _ in hosts), "port": ",".join(port for _, port in hosts)}
        # The parameters are those of all threads: they are copied, not changed.
        return dialect.connect(*arguments, **{**parameters, **ordered})

    def _note(self, connection: Any, _record: object) -> None:
        self._last = (connection.info.host, str(connection.info.port))
