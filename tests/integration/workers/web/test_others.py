"""While a client sends what costs most, others get their responses: their wait, compared with a quiet moment."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from statistics import median
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.security import Scope, create_key
from pipeline.settings import Settings
from scripts.local_servers.valkey import find_port
from tests.integration.workers.web.fuzz import BODIES, SIZE
from tests.integration.workers.web.sockets import ask, connect
from tests.integration.workers.web.stage import spin_until

#: How often the others ask, and how much longer they may have to wait. One megabyte of JSON takes 20 ms to read, and a
#: request of nothing a tenth of that: before there were bounds, the factor was in the thousands.
ASKED: Final = 60
FACTOR: Final = 12
#: What two processes and the servers on two cores add in any case.
SLACK_SECONDS: Final = 0.01
#: A Python that starts on a busy machine.
START_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Target:
    """A web process, and a key for it."""

    url: str
    token: str

    def measure(self) -> float:
        """Return the median of how long a small request takes."""
        place = urlsplit(self.url)
        waits = []
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        for _ in range(ASKED):
            began = time.monotonic()
            connection.request("GET", "/nothing")
            answer = connection.getresponse()
            answer.read()
            waits.append(time.monotonic() - began)
            assert answer.status == 404
        connection.close()
        return median(waits)


@pytest.fixture(scope="module")
def process(run_settings: Settings) -> Iterator[str]:
    """The web process: one of its own, so that what is measured is not the tests' work. Its address."""
    port = find_port()
    environment = {
        **os.environ,
        "DATABASE_URL": run_settings.database_url.get_secret_value(),
        "REDIS_URL": run_settings.redis_url.get_secret_value(),
        "CHECKOUT_GATEWAY": "sandbox",
        "CHECKOUT_WEB_PORT": str(port),
        "CHECKOUT_WEB_WRITES_PER_MINUTE": "1000000",
        "CHECKOUT_WEB_READS_PER_MINUTE": "1000000",
        "CHECKOUT_WEB_ANONYMOUS_PER_MINUTE": "1000000",
        "CHECKOUT_WEB_SIGN_INS_PER_MINUTE": "1000000",
        "CHECKOUT_LOG_LEVEL": "error",
    }
    started = subprocess.Popen([sys.executable, "-m", "workers.web"], env=environment)

    def answers() -> bool:
        with suppress(OSError):
            return ask(f"http://127.0.0.1:{port}", b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 404")
        return False

    try:
        ends_at = time.monotonic() + START_SECONDS
        while not answers():
            assert time.monotonic() < ends_at, "the web process does not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(20)


@pytest.fixture
def target(process: str, engine: Engine) -> Target:
    """The process, and a key."""
    with engine.begin() as connection:
        return Target(process, create_key(connection, owner="o", name="n", scopes=[Scope.CHECKOUT])[1])


def post(path: str, body: bytes, *headers: bytes, method: str = "POST") -> bytes:
    """Return a request with a body."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: shop", b"Connection: close", *headers]
    return b"\r\n".join([*lines, f"Content-Length: {len(body)}".encode(), b"", body])


def make_attacks(token: str) -> dict[str, bytes]:
    """Return requests, by what is bad about them."""
    key = f"Authorization: Bearer {token}".encode()
    known = (key, b"Content-Type: application/json", b"Idempotency-Key: k")
    cart = f"/carts/{UUID(int=1)}"
    end = b"\r\nHost: shop\r\nConnection: close\r\n\r\n"
    large = {
        name: BODIES[name](SIZE - 1000)
        for name in (
            "empty lines",
            "coupons",
            "digits in a payment",
            "names twice",
            "wrong expected lines",
            "form fields",
        )
    }
    return {
        "quoted cookie": b'GET / HTTP/1.1\r\nCookie: checkout_admin="' + b'\\"' * 30_000 + b'"' + end,
        "quoted cookie within a head": b'GET / HTTP/1.1\r\nCookie: checkout_admin="' + b'\\"' * 7900 + b'"' + end,
        "many headers": b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 20_000 + end[2:],
        "parameters": b"GET /checkout?" + b"cart_id=a&" * 1500 + b" HTTP/1.1" + end,
        "long path": b"GET /" + b"%41" * 5000 + b" HTTP/1.1" + end,
        "sign-in form": post("/admin/sign-in", large["form fields"], b"Origin: http://shop"),
        "empty lines": post(cart, large["empty lines"], *known, method="PUT"),
        "coupons": post(cart, large["coupons"], *known, method="PUT"),
        "names twice": post(cart, large["names twice"], *known, method="PUT"),
        "digits in a payment": post("/checkout", large["digits in a payment"], *known),
        "expected lines": post("/checkout", large["wrong expected lines"], *known),
        "pieces": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked" + end + b"1\r\na\r\n" * 100_000,
    }


@pytest.mark.parametrize("name", make_attacks("t"))
def test_the_others_do_not_wait_for_one_request_that_costs_much(target: Target, name: str) -> None:
    attack = make_attacks(target.token)[name]
    quiet = target.measure()
    sent = 0
    over = threading.Event()

    def shoot() -> None:
        nonlocal sent
        while not over.is_set() and sent < 500:
            with suppress(OSError):
                ask(target.url, attack)
            sent += 1

    thread = threading.Thread(target=shoot)
    thread.start()
    try:
        spin_until(lambda: sent > 0, "one has been sent")
        meanwhile = target.measure()
    finally:
        over.set()
        thread.join()
    assert meanwhile < FACTOR * quiet + SLACK_SECONDS, (quiet, meanwhile, sent)


def test_slow_senders_do_not_delay_others(target: Target) -> None:
    quiet = target.measure()
    with ExitStack() as stack:
        for number in range(300):
            connection = stack.enter_context(connect(target.url))
            connection.sendall(b"GET / HTTP/1.1\r\nX: " if number % 2 else post("/webhooks/sandbox", b"{" * 100)[:-50])
        meanwhile = target.measure()
    assert meanwhile < FACTOR * quiet + SLACK_SECONDS, (quiet, meanwhile)
