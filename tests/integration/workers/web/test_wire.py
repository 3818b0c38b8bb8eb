"""Connections that are slow, silent, too large or too many: each ends, with a response if possible."""

import gc
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import Engine

from pipeline.security import Scope, create_key
from pipeline.settings import Settings
from tests.integration.workers.web.sockets import SECONDS, ask, connect, read_status, read_to_end
from tests.integration.workers.web.stage import find_url, serve, spin_until
from workers.web.protection import connection_bounds as wire
from workers.web.protection.connection_bounds import MAX_PIECES, BoundedProtocol
from workers.web.protection.request_bounds import MAX_HEAD_BYTES, MAX_HEADERS
from workers.web.server import Server

#: Beyond the stage's own, so that nothing here waits for long.
SHORT: Final = {"web_head_seconds": 0.5, "web_body_seconds": 0.5, "web_max_connections": 8, "web_max_body_bytes": 65536}
GET: Final = b"GET /nothing HTTP/1.1\r\nHost: shop\r\n"
END: Final = b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server(run_settings: Settings) -> Iterator[Server]:
    """A server with short bounds."""
    with serve(run_settings.model_copy(update=SHORT)) as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    """Its address."""
    return find_url(server)


@pytest.fixture
def key(engine: Engine) -> bytes:
    """The header that carries a key."""
    with engine.begin() as connection:
        _, token = create_key(connection, owner="o", name="n", scopes=[Scope.CHECKOUT])
    return f"Authorization: Bearer {token}\r\n".encode()


def wait_until_idle(server: Server) -> None:
    """Return once no connection is left."""
    spin_until(lambda: not server.server_state.connections, "every connection ends")


def test_a_head_that_does_not_arrive_ends_its_connection(server: Server, url: str) -> None:
    # Given one that says nothing, one that has begun, and one that sends a byte now and then
    with connect(url) as silent, connect(url) as begun, connect(url) as slow:
        begun.sendall(b"GET /health/checkout HT")
        with suppress(ConnectionResetError, BrokenPipeError):
            for byte in GET * 2:
                slow.sendall(bytes([byte]))
                time.sleep(0.05)
        # Then it has a response where that is possible
        assert read_to_end(silent) == b""
        assert read_status(read_to_end(begun)) == 408
        assert read_status(read_to_end(slow)) in {0, 408}
    wait_until_idle(server)


def test_the_second_request_of_a_connection_has_no_longer(server: Server, url: str) -> None:
    with connect(url) as connection:
        connection.sendall(GET + b"\r\n")
        first = connection.recv(65536)
        connection.sendall(b"G")
        first, _, answer = (first + read_to_end(connection)).partition(b"HTTP/1.1 408 Request Timeout\r\n")
    assert first.startswith(b"HTTP/1.1 404")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"


def test_a_body_that_does_not_arrive_has_a_response(server: Server, url: str, key: bytes) -> None:
    head = f"PUT /carts/{uuid4()} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n".encode() + key
    with connect(url) as connection:
        connection.sendall(head + b'Content-Length: 100\r\n\r\n{"currency"')
        answer = read_to_end(connection)
    assert read_status(answer) == 408
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (problem["code"], problem["detail"]) == (
        "request_timeout",
        "The request did not arrive whole within 0.5 seconds: send it again.",
    )
    wait_until_idle(server)


@pytest.mark.parametrize("length", [b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_what_is_sent_after_the_response_is_not_read_for_ever(server: Server, url: str, length: bytes) -> None:
    sent = 0
    with connect(url) as connection, suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(GET.replace(b"GET", b"POST") + length + b"\r\n")
        for _ in range(1000):
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
    assert sent < 60 * 2**20
    wait_until_idle(server)


def test_a_body_in_too_many_pieces_is_refused(url: str, key: bytes, caplog: pytest.LogCaptureFixture) -> None:
    head = f"PUT /carts/{uuid4()} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n".encode() + key
    sent = head + b"Transfer-Encoding: chunked\r\n\r\n"
    assert read_status(ask(url, sent + b"1\r\n \r\n" * (MAX_PIECES + 1))) == 400
    # ... also where no route reads the body
    assert read_status(ask(url, sent.replace(b"PUT", b"GET") + b"1\r\n \r\n" * (MAX_PIECES + 1))) in {0, 400, 404}
    assert [record.levelname for record in caplog.records] == ["WARNING"] * len(caplog.records)
    # ... and as many as are allowed are a body
    assert (
        read_status(
            ask(url, sent.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + b"1\r\n \r\n" * 100 + b"0\r\n\r\n")
        )
        == 422
    )


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    "headers",
    [b"X-A: " + b"a" * MAX_HEAD_BYTES + b"\r\n", b"a:b\r\n" * MAX_HEADERS, b"Cookie: a=" + b'\\"' * 60_000 + b"\r\n"],
    ids=["long", "many", "cookie"],
)
def test_431_of_a_head_that_is_too_large(url: str, headers: bytes, *, apart: bool) -> None:
    sent = GET + headers + END
    with connect(url) as connection:
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent[:30])
            time.sleep(0.1 if apart else 0)
            connection.sendall(sent[30:])
        answer = read_to_end(connection)
    assert read_status(answer) in {0, 431}
    if len(sent) < 65536:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "headers_too_large"


def test_a_head_just_within_the_bound_is_served(url: str) -> None:
    filling = b"X-A: " + b"a" * (MAX_HEAD_BYTES - len(GET + END) - 40) + b"\r\n"
    assert read_status(ask(url, GET + filling + END)) == 404
    assert read_status(ask(url, GET + b"a:b\r\n" * (MAX_HEADERS - 3) + END)) == 404


def test_connections_are_bounded_and_those_that_are_there_are_served(server: Server, url: str) -> None:
    with ExitStack() as stack, httpx2.Client(base_url=url) as client:
        assert client.get("/nothing").status_code == 404
        held = [stack.enter_context(connect(url)) for _ in range(7)]
        spin_until(lambda: len(server.server_state.connections) == 8, "eight connections")
        answer = ask(url, GET + END)
        assert (read_status(answer), b"service_unavailable" in answer) in {(503, True), (0, False)}
        assert client.get("/nothing").status_code == 404
        del held
    wait_until_idle(server)
    assert httpx2.get(f"{url}/nothing").status_code == 404


def test_responses_that_no_client_reads_are_dropped(server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "UNREAD_SECONDS", 0.2)
    request = b"GET /openapi.json HTTP/1.1\r\nHost: shop\r\n\r\n"
    with connect(url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(request * 100)
        wait_until_idle(server)


def test_nothing_is_left_of_connections_that_have_ended(server: Server, url: str) -> None:
    for sent in (GET + END, b"no HTTP\r\n\r\n", GET + b"a:b\r\n" * MAX_HEADERS + END) * 30:
        assert read_status(ask(url, sent)) in {404, 400, 431}
    wait_until_idle(server)

    def count() -> int:
        gc.collect()
        return sum(isinstance(each, BoundedProtocol) for each in gc.get_objects())

    # The last one may still be in hand.
    spin_until(lambda: count() <= 3, "they are forgotten")


def test_a_client_that_disconnects_is_one_line(
    server: Server, url: str, key: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for path, kind in ((f"PUT /carts/{uuid4()}", "application/json"), ("POST /webhooks/sandbox", "application/json")):
        with connect(url) as connection:
            head = f"{path} HTTP/1.1\r\nHost: shop\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n".encode()
            connection.sendall(head + key + b'\r\n{"currency"')
            time.sleep(0.2)
        wait_until_idle(server)
        said = ""
        ends_at = time.monotonic() + SECONDS
        while not said and time.monotonic() < ends_at:
            said = "".join(capfd.readouterr())
        assert (said.count("\n"), "status=499" in said) == (1, True), said
    # ... and no traceback by uvicorn
    assert caplog.records == []


def test_what_is_no_http_and_what_requests_another_protocol(server: Server, url: str) -> None:
    for sent in (b"\x16\x03\x01" + b"\x00" * 200, b"GET\r\n\r\n", b"\r\n" * 5000, GET + b"Host: other\r\n\r\n"):
        assert read_status(ask(url, sent)) in {0, 400, 408, 431}
    upgrade = GET + b"Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert read_status(ask(url, upgrade)) == 404
    assert httpx2.get(f"{url}/nothing").status_code == 404
