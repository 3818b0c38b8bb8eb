"""A TCP proxy that can drop the answer to a request after its effect, or all traffic."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

CHUNK: Final = 65536


@dataclass
class Proxy:
    """Listens on its own port, and connects to the real server for each client.

    `lose` is called with each request: when it returns True, the server gets the request, and its answer is dropped
    with the connection. While `hole` is set nothing passes in either direction, and nothing is refused.
    """

    connect: Callable[[], socket.socket]
    lose: Callable[[bytes], bool] = lambda _: False
    hole: threading.Event = field(default_factory=threading.Event)
    lost: int = 0
    _server: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.getsockname()[1])

    def serve(self) -> None:
        """Accept clients until closed."""
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting clients."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _carry(self, client: socket.socket) -> None:
        with client, self.connect() as server:
            is_losing = threading.Event()
            answers = threading.Thread(target=self._answer, args=(server, client, is_losing), daemon=True)
            answers.start()
            with suppress(OSError):
                while data := client.recv(CHUNK):
                    self._wait_out_the_hole()
                    with self._lock:
                        if self.lose(data):
                            self.lost += 1
                            is_losing.set()
                    server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            answers.join(5)

    def _answer(self, server: socket.socket, client: socket.socket, is_losing: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(CHUNK):
                self._wait_out_the_hole()
                if is_losing.is_set():
                    break
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _wait_out_the_hole(self) -> None:
        while self.hole.is_set():
            threading.Event().wait(0.02)


@contextmanager
def open_proxy(connect: Callable[[], socket.socket], **given: Any) -> Iterator[Proxy]:
    """Run a proxy before this server."""
    proxy = Proxy(connect, **given)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()


def once(wanted: bytes, after: int = 0) -> Callable[[bytes], bool]:
    """Return a rule that drops the answer to the first request that contains this, after `after` others passed."""
    seen = 0
    done = False

    def lose(data: bytes) -> bool:
        nonlocal seen, done
        if done or wanted not in data:
            return False
        seen += 1
        done = seen > after
        return done

    return lose
