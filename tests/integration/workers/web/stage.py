"""The HTTP application as it is served, with its workers: uvicorn on a port, and dramatiq's worker, on threads."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import dramatiq
import httpx2
from sqlalchemy import Engine, text

from pipeline.gateways import Gateway
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.saga.sweep import sweep
from pipeline.security import Scope, create_key
from pipeline.settings import Settings
from tests.support.harness import ADDRESS, OWNER, Shelf
from tests.support.patience import WAIT_SECONDS
from workers.actors import declare_actors
from workers.bootstrap import Components, build_components
from workers.overview import is_idle
from workers.web.server import Server, build_server

#: Longest that a request takes, its wait included.
SECONDS: Final = 10.0
PREFER: Final = {"Prefer": "wait=8"}
#: A cart of one cup.
BODY: Final[dict[str, Any]] = {
    "currency": "EUR",
    "lines": [{"sku": "cup", "quantity": 1}],
    "shipping_address": ADDRESS,
}


@dataclass
class Stage:
    """A served application and everything behind it."""

    settings: Settings
    server: Server
    workers: Components
    engine: Engine
    shelf: Shelf
    url: str
    tokens: dict[tuple[str, frozenset[Scope]], str] = field(default_factory=dict)
    clients: list[httpx2.Client] = field(default_factory=list)

    def client(self, *scopes: Scope, owner: str = OWNER, token: str | None = None) -> httpx2.Client:
        """Return a client with a key of these scopes, `checkout` by default."""
        bearer = token or self.token(*(scopes or (Scope.CHECKOUT,)), owner=owner)
        headers = {"Authorization": f"Bearer {bearer}"}
        self.clients.append(httpx2.Client(base_url=self.url, headers=headers, timeout=SECONDS * 2))
        return self.clients[-1]

    def close(self) -> None:
        """Close the clients' connections."""
        for client in self.clients:
            client.close()

    def token(self, *scopes: Scope, owner: str = OWNER) -> str:
        """Return a key of this owner."""
        wanted = (owner, frozenset(scopes))
        if wanted not in self.tokens:
            with self.engine.begin() as connection:
                self.tokens[wanted] = create_key(connection, owner=owner, name="test", scopes=scopes)[1]
        return self.tokens[wanted]

    @property
    def bank(self) -> SandboxGateway:
        """The payment provider."""
        gateway = self.workers.gateway
        assert isinstance(gateway, SandboxGateway)
        return gateway

    def find_reference(self) -> str:
        """Return the bank's name for the one payment there is."""
        [(reference,)] = self.shelf.rows("SELECT reference FROM payments")
        return str(reference)

    def is_idle(self) -> bool:
        """Return whether no message waits or is in flight."""
        return is_idle(self.workers.broker.client)

    def sweep(self) -> None:
        """Run one tick."""
        sweep(self.workers.transactions, self.workers.publisher, self.workers.backlog, self.settings)

    def hurry(self) -> bool:
        """Have what is to be tried again later tried now."""
        self.shelf.run("UPDATE checkouts SET due_at = now() WHERE due_reason = 'scheduled'")
        self.sweep()
        return True


def put_cart(client: httpx2.Client, *lines: tuple[str, int], **others: Any) -> UUID:
    """Write a cart and return its id."""
    cart_id = uuid4()
    body = {
        "currency": "EUR",
        "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines],
        "shipping_address": ADDRESS,
    }
    answer = client.put(f"/carts/{cart_id}", json=body | others)
    assert answer.status_code == 201, answer.text
    return cart_id


def start(client: httpx2.Client, cart_id: UUID, **headers: str) -> httpx2.Response:
    """Start a checkout and wait for its quote."""
    return client.get("/checkout", params={"cart_id": str(cart_id)}, headers=PREFER | headers)


def pay(
    client: httpx2.Client,
    body: Mapping[str, Any],
    *,
    token: str | None = "tok_ok",
    key: str | None = None,
    prefer: Mapping[str, str] = PREFER,
) -> httpx2.Response:
    """Pay and wait for the end."""
    payment = {} if token is None else {"payment": {"token": token}}
    named = {name: str(value) if isinstance(value, UUID) else value for name, value in body.items()}
    headers = {"Idempotency-Key": key or str(uuid4()), **prefer}
    return client.post("/checkout", json=named | payment, headers=headers)


def read_status(client: httpx2.Client, **named: object) -> dict[str, Any]:
    """Ask where something stands."""
    answer = client.get("/checkout/status", params={name: str(value) for name, value in named.items()})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@contextmanager
def held_stock(stage: Stage) -> Iterator[None]:
    """Block every reservation and release: what needs stock is in progress for as long as this lasts."""
    with stage.engine.connect() as connection:
        connection.execute(text("SELECT FROM stock_levels FOR UPDATE"))
        yield
        connection.rollback()


def spin_until(is_so: Callable[[], object], what: str) -> None:
    """Look again and again until it is so; fail with `what` after the bound."""
    ends_at = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < ends_at, f"{what}: not within {WAIT_SECONDS} s"
        time.sleep(0.01)


@contextmanager
def serve(settings: Settings) -> Iterator[Server]:
    """Serve the application on a free port, on a thread."""
    server = build_server(settings.model_copy(update={"web_port": 0}))
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        spin_until(lambda: server.started, "the server does not start")
        yield server
    finally:
        server.should_exit = True
        thread.join()


def find_url(server: Server) -> str:
    """Return the address that a server has been given."""
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return f"http://{host}:{port}"


@contextmanager
def work(settings: Settings, gateway: Gateway | None = None) -> Iterator[Components]:
    """Run every actor on threads of this process. `gateway` takes the place of the one that the settings name."""
    components = build_components(settings, "worker", gateway=gateway)
    declare_actors(components)
    worker = dramatiq.Worker(components.broker, worker_timeout=100, worker_threads=4)
    worker.start()
    try:
        yield components
    finally:
        worker.stop()
        components.close()
