"""HAProxy with a configuration of `checkout cells map`, and small servers behind it."""

import http.client
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from tests.support.patience import WAIT_SECONDS

HAPROXY: Final = shutil.which("haproxy")
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")


@dataclass
class Edge:
    """A server that answers every request with its name, and keeps the API keys that it has seen."""

    name: str
    server: ThreadingHTTPServer
    keys: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def open_edge(name: str) -> Iterator[Edge]:
    """Serve on a free port, on a thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/health/checkout":
                edge.keys.append(self.headers.get("Authorization", ""))
            body = name.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        edge = Edge(name, server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield edge
        finally:
            server.shutdown()
            thread.join()


def find_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def check(text: str, folder: Path) -> Path:
    """Write a configuration, have HAProxy check it, and return its file."""
    assert HAPROXY is not None
    path = folder / "haproxy.cfg"
    path.write_text(text)
    subprocess.run([HAPROXY, "-c", "-q", "-f", str(path)], check=True, timeout=WAIT_SECONDS)
    return path


@contextmanager
def run_proxy(path: Path, port: int) -> Iterator[None]:
    """Run HAProxy in the foreground until the end, with one process."""
    assert HAPROXY is not None
    with subprocess.Popen(
        [HAPROXY, "-db", "-f", str(path)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as it:
        try:
            ends_at = time.monotonic() + WAIT_SECONDS
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert it.poll() is None
                    assert time.monotonic() < ends_at
                    time.sleep(0.02)
            yield
        finally:
            it.kill()


def ask(port: int, authorization: str | None, path: str = "/checkout") -> tuple[int, str]:
    """Return status and body of one request through the proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", path, headers={} if authorization is None else {"Authorization": authorization})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
