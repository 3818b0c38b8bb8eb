"""A small HTTP server that keeps what it receives and responds as a test wants."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        """The webhook's id."""
        return self.headers["webhook-id"]

    def verify(self, secret: str) -> Any:
        """Return what it says; raises when its signature is not right."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Answers with the next of `answers`, then with 204; status 0 says nothing until the test is over."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)
    location: str = ""
    drip: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    def ids(self) -> list[str]:
        """Return the ids of what came, in order."""
        return [each.event_id for each in self.got]


@contextmanager
def receive() -> Iterator[Receiver]:
    """Serve on a port of 127.0.0.1."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.got.append(Got(self.path, headers, body))
            status = receiver.answers.popleft() if receiver.answers else 204
            if receiver.drip:
                self._drip()
            elif status == 0:
                receiver.over.wait(60)
            else:
                self.send_response(status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _drip(self) -> None:
            # A byte now and then, so that no time-out of a socket ever comes.
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not receiver.over.wait(0.05):
                    self.wfile.write(b"X")
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook?shop=1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
