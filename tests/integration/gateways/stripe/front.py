"""A front before localstripe: keeps idempotency keys as Stripe does, records what comes, and goes wrong on demand.

A key's first result is kept and given again with `Idempotent-Replayed: true`; the key with another request is a 400
(`idempotency_error`), and while the first request still runs, a 409 (`idempotency_key_in_use`).
"""

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from threading import Event, Lock, Thread
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from pipeline.gateways.conformance.subject import Fault
from pipeline.gateways.gateway import Verb
from tests.integration.gateways.stripe.local import Local, Reply
from tests.integration.gateways.stripe.provider import Provider, refuse

#: The verb of a request.
VERBS: Final = {
    Verb.OPEN: re.compile(r"POST /v1/payment_intents"),
    Verb.AUTHORIZE: re.compile(r"POST /v1/payment_intents/\w+/confirm"),
    Verb.CAPTURE: re.compile(r"POST /v1/payment_intents/\w+/capture"),
    Verb.CANCEL: re.compile(r"POST /v1/payment_intents/\w+/cancel"),
    Verb.REFUND: re.compile(r"POST /v1/refunds"),
}

#: Longest that a hanging answer is held, and how late a slow one is: within the time-outs of the tests.
HANG_SECONDS: Final = 20
SLOW_SECONDS: Final = 0.25

_BEFORE: Final = {Fault.TIMEOUT_BEFORE, Fault.ERROR_BEFORE, Fault.BROKEN_BEFORE, Fault.BUSY, Fault.ACCESS, Fault.STUCK}
_HANGING: Final = {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER}
_BREAKING: Final = {Fault.BROKEN_BEFORE, Fault.BROKEN_AFTER}

_REFUSALS: Final = {
    Fault.BUSY: refuse(429, "Too many requests.", code="rate_limit"),
    Fault.ACCESS: refuse(401, "Invalid API Key provided: sk_test_********ocal"),
}
_SERVER_ERROR: Final = refuse(500, "Something went wrong on our end.")


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came."""

    line: str
    verb: Verb | None
    key: str | None
    headers: Mapping[str, str]
    fields: Mapping[str, str]


@dataclass(slots=True)
class Spell:
    """Faults that come over the requests of a verb, one after the other, until it is lifted."""

    faults: Iterator[Fault]
    lifted: Event = field(default_factory=Event)


@dataclass(slots=True)
class Kept:
    """What is known of a key: the request it came with, and its result once there is one."""

    request: tuple[str, str, str]
    reply: Reply | None = None


class Front:
    """The server. `url` stays the same for its life, whether or not it listens."""

    def __init__(self, local: Local) -> None:
        """Listen on a free port."""
        self.provider = Provider(local)
        self.seen: list[Seen] = []
        self.replays = 0
        #: What to answer to a request line, one after the other, whatever is asked; None is the ordinary answer.
        self.answers: dict[str, list[Reply | str | None]] = {}
        self._spells: dict[Verb, Spell] = {}
        self._keys: dict[str, Kept] = {}
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._server = self._listen(0)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening, and break what is still connected."""
        for spell in self._spells.values():
            spell.lifted.set()
        self._server.shutdown()
        self._server.server_close()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def bewitch(self, fault: Fault, verb: Verb, times: int | None = None) -> Iterator[None]:
        """Let calls of a verb go wrong, that many of them, until the context is left."""
        if fault is Fault.REFUSED:
            self.close()
        with self._cast(repeat(fault) if times is None else repeat(fault, times), verb):
            yield
        if fault is Fault.REFUSED:
            self._server = self._listen(self.port)

    @contextmanager
    def bewitch_in_turn(self, faults: Sequence[Fault], verb: Verb) -> Iterator[None]:
        """Make the calls of a verb go wrong, each in its own way. From REFUSED on, the server does not listen."""
        with self._cast(self._take_turns(faults), verb):
            yield

    def _take_turns(self, faults: Sequence[Fault]) -> Iterator[Fault]:
        for fault, following in zip(faults, [*faults[1:], None], strict=True):
            if following is Fault.REFUSED:
                self.close()
            yield fault

    def hold_key(self, key: str) -> None:
        """Let a request with this key be still at work."""
        self._keys[key] = Kept(("", "", ""))

    def find(self, verb: Verb) -> list[Seen]:
        """Return the requests of a verb, in their order."""
        return [each for each in self.seen if each.verb is verb]

    def serve(self, seen: Seen, method: str, path: str, body: str) -> tuple[Reply | str | None, bool]:
        """Return what to answer and whether it is a replay: a reply, a text that is none, or None to break off."""
        with self._lock:
            self.seen.append(seen)
            canned = self.answers.get(seen.line)
            given = canned.pop(0) if canned else None
            spell = self._spells.get(seen.verb) if seen.verb is not None else None
            fault = next(spell.faults, None) if spell is not None else None
        if given is not None:
            return given, False
        if spell is not None and fault in _BEFORE:
            return self._go_wrong(fault, spell, seen.key), False
        reply, replayed = self._answer_once(seen, (method, path, body))
        if fault is Fault.SLOW:
            time.sleep(SLOW_SECONDS)
        if fault is Fault.MALFORMED:
            return '{"id": "pi_', False
        if spell is not None and fault in _HANGING | _BREAKING | {Fault.ERROR_AFTER}:
            return self._go_wrong(fault, spell, None), False
        return reply, replayed

    @contextmanager
    def _cast(self, faults: Iterator[Fault], verb: Verb) -> Iterator[None]:
        spell = self._spells[verb] = Spell(faults)
        try:
            yield
        finally:
            del self._spells[verb]
            spell.lifted.set()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = _Server(("127.0.0.1", port), _handler(self))
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def _go_wrong(self, fault: Fault | None, spell: Spell, key: str | None) -> Reply | None:
        if fault in _HANGING:
            spell.lifted.wait(HANG_SECONDS)
            return None
        if fault in _BREAKING:
            return None
        if fault is Fault.STUCK and key is not None:
            self._keys[key] = Kept(("", "", ""), _SERVER_ERROR)
        return _SERVER_ERROR if fault is None else _REFUSALS.get(fault, _SERVER_ERROR)

    def _answer_once(self, seen: Seen, request: tuple[str, str, str]) -> tuple[Reply, bool]:
        method, path, _ = request
        if seen.key is None:
            return self.provider.answer(method, path, dict(seen.fields)), False
        with self._lock:
            kept = self._keys.get(seen.key)
            if kept is None:
                kept = self._keys[seen.key] = Kept(request)
            elif kept.reply is None:
                details = {"type": "idempotency_error", "code": "idempotency_key_in_use"}
                return refuse(409, "There is currently another in-progress request using this key.", **details), False
            elif kept.reply is not _SERVER_ERROR and kept.request != request:
                message = "Keys for idempotent requests can only be used with the parameters they were first used with."
                return refuse(400, message, type="idempotency_error"), False
            else:
                self.replays += 1
                return kept.reply, True
        try:
            kept.reply = self.provider.answer(method, path, dict(seen.fields))
        finally:
            if kept.reply is None:
                del self._keys[seen.key]
        return kept.reply, False

    def enter(self, connection: socket.socket) -> None:
        """Note a connection."""
        self._open.add(connection)

    def leave(self, connection: socket.socket) -> None:
        """Remove a connection."""
        self._open.discard(connection)


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    request_queue_size = 64
    daemon_threads = True


def _handler(front: Front) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            front.enter(self.connection)

        def finish(self) -> None:
            front.leave(self.connection)
            with suppress(OSError):
                super().finish()

        def do_GET(self) -> None:
            self._work()

        def do_POST(self) -> None:
            self._work()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing: what came is in `seen`."""

        def _work(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            fields = dict(parse_qsl(body if self.command == "POST" else address.query))
            line = f"{self.command} {address.path}"
            verb = next((each for each, pattern in VERBS.items() if pattern.fullmatch(line)), None)
            key = self.headers.get("Idempotency-Key") if self.command == "POST" else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(line, verb, key, headers, fields)
            reply, replayed = front.serve(seen, self.command, address.path, body)
            self.close_connection = True
            if reply is not None:
                self._send(reply, replayed=replayed)

        def _send(self, reply: Reply | str, *, replayed: bool) -> None:
            status, text = (200, reply) if isinstance(reply, str) else (reply.status, json.dumps(reply.body))
            encoded = text.encode()
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(encoded)))
                self.send_header("Request-Id", f"req_{len(front.seen)}")
                if replayed:
                    self.send_header("Idempotent-Replayed", "true")
                self.end_headers()
                self.wfile.write(encoded)
                self.close_connection = False

    return Handler


@contextmanager
def run_front(local: Local) -> Iterator[Front]:
    """Give a front that is closed at the end."""
    front = Front(local)
    try:
        yield front
    finally:
        front.close()
