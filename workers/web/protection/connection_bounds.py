"""Bounds of a connection, outside of what the application sees of a request.

The time for a head and for a body, the size of a head, the pieces of a body, the bytes that are read after the
response, the time for which a response may stay unread, and the number of connections.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, Final, Literal, assert_never

import h11
import structlog
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pipeline.errors import Code, Refused, Unavailable
from pipeline.settings import Settings
from workers.web.protection.request_bounds import MAX_HEAD_BYTES, MAX_HEADERS
from workers.web.responses.problem_details import Problem, explain_refusal, render

log = structlog.get_logger()

#: Pieces that a body may come in: a chunk costs 20 us whatever its size, and 1 MiB of single bytes would be 20 s.
#: A body of 1 MiB has 719 pieces when each is as large as a packet.
MAX_PIECES: Final = 1024
#: Read and thrown away after the response, so that a client that is still sending can read why it was refused.
LINGER_BYTES: Final = 4 * 1024 * 1024
#: The application itself responds to a slow body; the connection ends this much later, if it is still open.
MARGIN_SECONDS: Final = 2.0
#: A response that its client does not read is dropped after this time.
UNREAD_SECONDS: Final = 30.0

_HEAD_END: Final = re.compile(rb"\n\r?\n")


class BoundedConfig(Config):
    """uvicorn's configuration, with the settings of its connections."""

    def __init__(self, app: ASGIApp, settings: Settings, **others: Any) -> None:
        """Serve `app` at the host and port of the settings."""
        # No websockets, and always the one parser that is bounded here, also where a faster one is installed.
        super().__init__(
            app, settings.web_host, settings.web_port, http=BoundedProtocol, ws="none", interface="asgi3", **others
        )
        self.settings = settings


class BoundedConnection(h11.Connection):
    """Refuses a body in too many pieces. Heads are bounded before."""

    _pieces = 0

    def next_event(self) -> Any:
        """Return what h11 has read next."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = 0
        elif isinstance(event, h11.Data):
            self._pieces += 1
            if self._pieces > MAX_PIECES:
                raise h11.RemoteProtocolError("the body comes in too many pieces")
        return event


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, with the bounds."""

    #: When a refusal of a connection was last logged: at most one line a second, for all of this process.
    _logged_at = -1.0

    def __init__(
        self,
        config: BoundedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Serve one connection within the settings."""
        super().__init__(config, server_state, app_state, _loop)
        self.conn = BoundedConnection(h11.SERVER, MAX_HEAD_BYTES)
        self._settings = config.settings
        self._part: Literal["head", "body"] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, if there are not too many."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.web_max_connections:
            if time.monotonic() >= BoundedProtocol._logged_at + 1:
                BoundedProtocol._logged_at = time.monotonic()
                log.warning("connections.full", limit=self._settings.web_max_connections)
            self._refuse(explain_refusal(Unavailable(Code.UNAVAILABLE)))
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop(self._deadline)
        self._stop(self._unread)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read data within the bounds."""
        if self.conn.their_state is h11.IDLE:
            if self._is_head_too_large(data):
                refusal = Refused(Code.HEADERS_TOO_LARGE, limit=MAX_HEAD_BYTES, headers=MAX_HEADERS)
                self._refuse(explain_refusal(refusal))
                return
            self._received = 0
        self._received += len(data)
        super().data_received(data)
        # More than may be sent at all, or too much after the response.
        if self.conn.their_state is h11.SEND_BODY and self._received > self._most():
            self.transport.abort()

    def handle_events(self) -> None:
        """Serve what has been read, also what was read before the response to the former request."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """End the connection if its response stays unread."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._drop_unread()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one that does not read its last response."""
        super().timeout_keep_alive_handler()
        self._drop_unread()

    def pause_writing(self) -> None:
        """Set a time for a client that does not read its response."""
        super().pause_writing()
        self._drop_unread()

    def resume_writing(self) -> None:
        """Stop that time when the client reads."""
        if not self.transport.is_closing():
            self._stop(self._unread)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Respond to data that is no HTTP; once a response has begun, the connection ends instead."""
        if self.cycle is not None:
            # The client does not receive what the application still sends.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        self.transport.close()
        self._drop_unread()

    def _should_upgrade(self) -> bool:
        # There are no websockets here, and uvicorn would log a line for every client that requests one.
        return False

    def _is_head_too_large(self, data: bytes) -> bool:
        """Check it before h11 reads a line: h11 accepts a whole head, of any size, if that comes at once."""
        so_far: bytes = self.conn.trailing_data[0]
        head = so_far + data[: MAX_HEAD_BYTES + 1]
        end = _HEAD_END.search(head)
        size = len(head) if end is None else end.start()
        # Beside the lines of the headers there is the request line.
        return size > MAX_HEAD_BYTES or head.count(b"\n", 0, size) > MAX_HEADERS

    def _most(self) -> int:
        return self._settings.web_max_body_bytes * 2 + LINGER_BYTES

    def _refuse(self, problem: Problem) -> None:
        """Respond without the application, and close."""
        response = render(problem)
        if self.conn.our_state is h11.IDLE:
            headers = [*response.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=response.status_code, headers=headers, reason=problem.title.encode()),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        self._drop_unread()

    def _watch(self) -> None:
        """Set the time for what the client has to send now; none while the server responds."""
        part = _name_part(self.conn.their_state)
        if part == self._part:
            return
        self._stop(self._deadline)
        self._part = part
        match part:
            case "head":
                if not self.timeout_keep_alive_task:
                    self._arm(self._settings.web_head_seconds, self._end_slow_head)
                else:
                    self._part = None
            case "body":
                self._arm(self._settings.web_body_seconds + MARGIN_SECONDS, self._end_slow_body)
            case None:
                pass
            case _:
                assert_never(part)

    def _arm(self, seconds: float, end: Callable[[], None]) -> None:
        self._deadline = self.loop.call_later(seconds, end)

    def _stop(self, timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()

    def _end_slow_head(self) -> None:
        log.info("connection.slow", part="head")
        if self.conn.trailing_data[0]:
            self._refuse(explain_refusal(Refused(Code.REQUEST_TIMEOUT, seconds=self._settings.web_head_seconds)))
        self.transport.close()

    def _end_slow_body(self) -> None:
        log.info("connection.slow", part="body")
        self.transport.abort()

    def _drop_unread(self) -> None:
        self._stop(self._unread)
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)


def _name_part(their_state: object) -> Literal["head", "body"] | None:
    """Return what the client has to send now; None when it has sent all."""
    if their_state is h11.IDLE:
        return "head"
    return "body" if their_state is h11.SEND_BODY else None
