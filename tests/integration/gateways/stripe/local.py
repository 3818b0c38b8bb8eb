"""localstripe, in a process of its own: the shapes of Stripe's requests and answers, without Stripe."""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlencode

import pytest

#: It takes any key of this form.
KEY: Final = "sk_test_" + "local" * 4
START_SECONDS: Final = 30
#: It writes all that it has into a file, for its next start, several times a request; here it has none.
WITHOUT_DISK: Final = (
    "from localstripe import resources, server; resources.Store.dump_to_disk = lambda self: None; server.start()"
)
#: Its first start compiles; a busy machine takes its time over an answer.
ANSWER_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered: a status and a JSON object."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Local:
    """A caller of the process that is not the adapter. One connection per call: any thread may use it."""

    port: int

    def get(self, path: str, **query: object) -> Reply:
        """Read something."""
        return self._call("GET", f"{path}?{urlencode(query, doseq=True)}", None)

    def post(self, path: str, fields: Mapping[str, object] | None = None) -> Reply:
        """Change something."""
        return self._call("POST", path, json.dumps(fields) if fields else None)

    def read_intent(self, reference: str) -> dict[str, Any]:
        """Return an intent with its charge."""
        return self.get(f"/v1/payment_intents/{reference}").body

    def list_intents(self) -> list[dict[str, Any]]:
        """Return every intent there is."""
        found: list[dict[str, Any]] = self.get("/v1/payment_intents", limit=100_000).body["data"]
        return found

    def empty(self) -> None:
        """Clear all data."""
        assert self._call("DELETE", "/_config/data", None).status == HTTPStatus.OK

    def make_card(self, number: str) -> str:
        """Make a PaymentMethod of a test card, as the buyer's browser does; returns its id."""
        card = {"number": number, "exp_month": "12", "exp_year": "2040", "cvc": "123"}
        made = self.post("/v1/payment_methods", {"type": "card", "card": card})
        return str(made.body["id"])

    def _call(self, method: str, path: str, body: str | None) -> Reply:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        return Reply(answer.status, json.loads(text) if text.startswith(b"{") else {})


@contextmanager
def run_local() -> Iterator[Local]:
    """Start an empty localstripe on a free port, and end it."""
    port = _find_port()
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-c", WITHOUT_DISK, "--port", str(port), "--from-scratch"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_up(process, port)
            yield Local(port)
        finally:
            process.terminate()
            process.wait(10)
            if process.returncode not in (0, -15):
                output.seek(0)
                sys.stderr.write(output.read().decode(errors="replace")[-4000:])


def _find_port() -> int:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
            return int(probe.getsockname()[1])
    except OSError:
        pytest.skip("localstripe listens on IPv6, which this machine does not have")


def _wait_until_up(process: subprocess.Popen[bytes], port: int) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < ends_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"localstripe did not start on port {port}: {process.poll()}")
