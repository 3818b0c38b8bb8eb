"""The example shop repeats a payment that is still in progress, and no other."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from scripts.example_shop.edge import EngineClient, EngineRefusal

PAID = {"state": "completed"}


class Responses(BaseHTTPRequestHandler):
    """An HTTP edge that sends prepared responses, and records the idempotency keys."""

    left: list[tuple[int, dict[str, Any]]]
    keys: list[str]

    def do_POST(self) -> None:
        """Send the next response."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.keys.append(self.headers["Idempotency-Key"])
        status, body = self.left.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def edge() -> Iterator[EngineClient]:
    Responses.left, Responses.keys = [], []
    with HTTPServer(("127.0.0.1", 0), Responses) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield EngineClient(f"http://127.0.0.1:{server.server_port}", "ck_test")
        server.shutdown()
        thread.join()


def test_a_payment_in_progress_is_repeated_until_its_response(edge: EngineClient) -> None:
    Responses.left = [(409, {"code": "idempotency_running"}), (200, PAID)]
    assert edge.pay("c-1", "tok_ok", 450, "key-1") == PAID
    assert (Responses.keys, Responses.left) == (["key-1", "key-1"], [])


def test_a_refusal_is_not_repeated(edge: EngineClient) -> None:
    Responses.left = [(402, {"code": "payment_declined", "detail": "No."}), (200, PAID)]
    with pytest.raises(EngineRefusal, match=r"^No\.$") as refusal:
        edge.pay("c-1", "tok_ok", 450, "key-1")
    assert refusal.value.code == "payment_declined"
    assert (Responses.keys, len(Responses.left)) == (["key-1"], 1)
