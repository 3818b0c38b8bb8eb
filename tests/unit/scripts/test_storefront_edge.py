"""The example shop repeats a payment that is still being worked on, and no other."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from scripts.example_shop.edge import EngineClient, EngineRefusal

PAID = {"state": "completed"}


class Answers(BaseHTTPRequestHandler):
    """An edge that gives the next of its answers, and keeps the keys that it was asked with."""

    left: list[tuple[int, dict[str, Any]]]
    keys: list[str]

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.keys.append(self.headers["Idempotency-Key"])
        status, body = self.left.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def edge() -> Iterator[EngineClient]:
    Answers.left, Answers.keys = [], []
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield EngineClient(f"http://127.0.0.1:{server.server_port}", "ck_test")
        server.shutdown()
        thread.join()


def test_a_payment_that_is_being_worked_on_is_asked_for_until_there_is_an_answer(edge: EngineClient) -> None:
    Answers.left = [(409, {"code": "idempotency_running"}), (200, PAID)]
    assert edge.pay("c-1", "tok_ok", 450, "key-1") == PAID
    assert (Answers.keys, Answers.left) == (["key-1", "key-1"], [])


def test_a_refusal_is_not_asked_for_again(edge: EngineClient) -> None:
    Answers.left = [(402, {"code": "payment_declined", "detail": "No."}), (200, PAID)]
    with pytest.raises(EngineRefusal, match=r"^No\.$") as refusal:
        edge.pay("c-1", "tok_ok", 450, "key-1")
    assert refusal.value.code == "payment_declined"
    assert (Answers.keys, len(Answers.left)) == (["key-1"], 1)
