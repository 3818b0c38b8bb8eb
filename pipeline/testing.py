"""The engine in this process, for tests of adapters and integrations: real PostgreSQL, queues in memory, one thread.

    with checkout_engine() as engine:
        engine.add_variant("cup", stock=3, price_minor=450)
        checkout_id = engine.start(engine.add_cart(("cup", 1)), token="tok_ok")
        assert engine.settle(checkout_id) is CheckoutState.COMPLETED
        assert engine.audit() == []

The database is a new one on the server of DATABASE_URL, or on a temporary embedded server (the extra `embedded`). It is
dropped at the end.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

from pydantic import SecretStr
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.audit import Violation, audit
from pipeline.carts import Cart
from pipeline.catalog import PriceRow, StockRow, VariantRow, set_prices, set_stock, upsert_variants
from pipeline.database import TRANSIENT_WAITS, TransactionRunner, connect_engine
from pipeline.database.temporary import OpenServer, open_settings
from pipeline.gateways import Gateway, build_gateway, fit_lease
from pipeline.intake import CheckoutService, PaymentInput, StartRequest, Status
from pipeline.messaging import RESOLVE, UNWIND, WEBHOOKS, OutgoingMessage
from pipeline.messaging.ports import ORDER_CHANGES, Head
from pipeline.orders import ChangeRunner, OrderService
from pipeline.orders.charges import ChargeReader
from pipeline.saga import Executor, PaymentPoller, Runner, Unwinder, get_chain
from pipeline.saga.resolve import resolve
from pipeline.saga.sweep import SweepCounts, sweep
from pipeline.settings import Settings
from pipeline.webhooks.inbound import Inbox
from pipeline.webhooks.outbound import draw_secret

#: Owner of the carts and checkouts, and their shipping address, unless a test says otherwise.
OWNER: Final = "shop-1"
ADDRESS: Final = {
    "name": "Ada Lovelace",
    "line1": "12 St James's Square",
    "city": "London",
    "country": "GB",
}

POLL_SECONDS: Final = 0.02
BATCH: Final = 64


@dataclass
class MemoryQueues:
    """A publisher and a backlog in memory. With `away` they behave as when the broker cannot be reached."""

    waiting: dict[str, deque[OutgoingMessage]] = field(default_factory=dict)
    away: bool = False
    sent: list[OutgoingMessage] = field(default_factory=list)

    def send(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Queue the messages, in order."""
        if self.away:
            return False
        for each in messages:
            self.sent.append(each)
            self.waiting.setdefault(each.queue, deque()).append(each)
        return True

    def heads(self, queues: Sequence[str]) -> Mapping[str, Head] | None:
        """Return the oldest waiting message of each queue."""
        if self.away:
            return None
        return {
            queue: Head(self.waiting[queue][0].sent_at, len(self.waiting[queue]))
            for queue in queues
            if self.waiting.get(queue)
        }

    def take(self, queue: str, limit: int = BATCH) -> list[UUID]:
        """Remove a batch from a queue and return its ids."""
        ready = self.waiting.get(queue, deque())
        return [ready.popleft().subject_id for _ in range(min(limit, len(ready)))]

    def lose_all(self) -> None:
        """Delete every message, as when Redis is emptied."""
        self.waiting.clear()


class InProcessEngine:
    """The whole engine in one thread, in steps that the test calls. `service` is what a shop calls."""

    def __init__(
        self, database: Engine, settings: Settings, gateway: Gateway, queues: MemoryQueues | None = None
    ) -> None:
        """Build the engine on a database that has the schema."""
        self.database, self.settings, self.gateway = database, settings, gateway
        self.queues = queues or MemoryQueues()
        self.use(gateway, backlog=self.queues)

    def use(self, gateway: Gateway, *, waits: Sequence[float] = TRANSIENT_WAITS, **how: Any) -> None:
        """Build all parts again with this gateway; `how` is for the executor. The caller closes the former gateway."""
        transactions = TransactionRunner(self.database, waits=waits)
        self.wire(transactions, Executor(transactions, self.queues, gateway, self.settings, **how), gateway)

    def wire(self, transactions: TransactionRunner, executor: Executor, gateway: Gateway) -> None:
        """Build all parts again with these."""
        self.transactions, self.executor = transactions, executor
        self.runner = Runner(executor, gateway, self.settings)
        self.unwinder = Unwinder(executor, self.settings)
        self.poller = PaymentPoller(executor, self.settings)
        self.charges = ChargeReader(transactions, self.queues, gateway, self.settings)
        self.inbox = Inbox(executor, self.poller, self.charges, self.settings)
        self.service = CheckoutService(self.database, transactions, self.queues, gateway, self.settings)
        self.changes = ChangeRunner(executor, self.settings)
        self.orders = OrderService(transactions, self.queues, self.settings)

    def close(self) -> None:
        """Close threads and connections of the executor and the gateway."""
        self.executor.close()
        self.charges.close()
        self.gateway.close()

    def run_phase(self, name: str, *, batch: int = BATCH) -> int:
        """Process one batch of one phase's queue; return how many messages it had."""
        phase = next(each for each in get_chain() if each.name == name)
        ids = self.queues.take(phase.queue, batch)
        if ids:
            self.runner.run(phase, ids)
        return len(ids)

    def run(self, *, until: str | None = None, batch: int = BATCH) -> None:
        """Run until every queue is empty, or until only queues from the phase `until` on have messages."""
        chain = get_chain()
        stop = next((each.number for each in chain if each.name == until), len(chain) + 1)
        while True:
            processed = sum(self.run_phase(each.name, batch=batch) for each in chain if each.number < stop)
            if undone := self.queues.take(UNWIND, batch):
                self.unwinder.run(undone)
            if late := self.queues.take(RESOLVE, batch):
                resolve(self.transactions, self.runner, self.unwinder, self.poller, late, read_charges=self.charges.run)
            if webhooks := self.queues.take(WEBHOOKS, batch):
                self.inbox.run(webhooks)
            if changes := self.queues.take(ORDER_CHANGES, batch):
                self.changes.run(changes)
            if not (processed or undone or late or webhooks or changes):
                return

    def sweep(self) -> SweepCounts:
        """Run the sweep once."""
        return sweep(self.transactions, self.queues, self.queues, self.settings)

    def settle(self, checkout_id: UUID, *, seconds: float = 30) -> CheckoutState:
        """Run and sweep until the checkout is in a stable state; return it."""
        ends_at = time.monotonic() + seconds
        moving = (CheckoutState.RUNNING, CheckoutState.UNWINDING)
        self.run()
        while (state := self.status(checkout_id).state) in moving and time.monotonic() < ends_at:
            time.sleep(POLL_SECONDS)
            self.sweep()
            self.run()
        return state

    def start(self, cart_id: UUID, *, token: str | None = None, owner: str = OWNER, **others: Any) -> UUID:
        """Start a checkout; with a token, straight through to its end."""
        payment = None if token is None else PaymentInput(token=token)
        key = others.pop("idempotency_key", str(uuid4()))
        request = StartRequest(owner=owner, cart_id=cart_id, payment=payment, idempotency_key=key, **others)
        return self.service.start(request).checkout_id

    def status(self, checkout_id: UUID) -> Status:
        """Return the status of a checkout."""
        return self.service.status(checkout_id=checkout_id)

    def audit(self) -> list[Violation]:
        """Return the violated invariants of the audit."""
        with self.database.connect() as connection:
            return audit(connection, self.settings)

    def add_variant(self, sku: str, *, stock: int = 10, price_minor: int = 250, currency: str = "EUR") -> None:
        """Create a variant with a price, and units at the location `main`."""
        with self.database.begin() as connection:
            upsert_variants(connection, [VariantRow(sku, f"The {sku}")])
            set_prices(connection, [PriceRow(sku, currency, price_minor)])
            set_stock(connection, [StockRow(sku, "main", stock)], create_locations=True)

    def add_cart(self, *lines: tuple[str, int], currency: str = "EUR", owner: str = OWNER, **others: Any) -> UUID:
        """Fill a cart with (sku, quantity); `others` are fields of `Cart`."""
        content = {"shipping_address": ADDRESS, **others}
        given = [{"sku": sku, "quantity": quantity} for sku, quantity in lines]
        cart = Cart.model_validate({"id": uuid4(), "currency": currency, "lines": given, **content})
        self.service.put_cart(owner, cart)
        return cart.id


@contextmanager
def checkout_engine(
    gateway: Gateway | None = None, *, open_server: OpenServer | None = None, **changes: Any
) -> Iterator[InProcessEngine]:
    """Yield an engine on an empty database of its own, closed and dropped at the end.

    `gateway` is an adapter under test; by default it is the sandbox bank, whose tokens are listed in
    `pipeline.gateways.sandbox`. `changes` are settings. `open_server` yields the address of a PostgreSQL server.
    """
    with open_settings(open_server, **changes) as given:
        sandbox = given.with_gateway("sandbox", webhook_secret=SecretStr(draw_secret()))
        settings = sandbox if gateway is None else given.with_gateway(gateway.name)
        built = gateway or build_gateway(settings)
        database = connect_engine(settings, application_name="testing")
        engine = InProcessEngine(database, fit_lease(settings, built), built)
        try:
            yield engine
        finally:
            engine.close()
            database.dispose()
