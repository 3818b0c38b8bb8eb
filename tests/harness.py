"""An engine inside the test: real PostgreSQL, real runner and unwind, and a hand-written queue that can misbehave."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, insert, text
from sqlalchemy.engine import Row

from models.cart import Cart, CartLine
from models.catalog import Price, Variant
from models.pricing import Coupon, ExchangeRate, Promotion, TaxRate
from pipeline.database.transactions import TRANSIENT_WAITS, TransactionRunner
from pipeline.gateways.gateway import Gateway
from pipeline.gateways.registry import build_gateway
from pipeline.intake.commands import CommandResult
from pipeline.intake.requests import PaymentInput, ProcessRequest, StartRequest
from pipeline.intake.service import CheckoutService
from pipeline.intake.status import Status
from pipeline.messaging.ports import RESOLVE, UNWIND, WEBHOOKS, Head, OutgoingMessage
from pipeline.saga.chain import get_chain
from pipeline.saga.executor import Executor
from pipeline.saga.payment_poller import PaymentPoller
from pipeline.saga.resolve import resolve
from pipeline.saga.runner import Runner
from pipeline.saga.sweep import SweepCounts, sweep
from pipeline.saga.unwind import Unwinder
from pipeline.settings import Settings
from pipeline.webhooks.inbound.inbox import Inbox

OWNER = "shop-1"
ADDRESS = {"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "country": "GB"}


@dataclass
class Line:
    """Queues in memory: a Publisher and a Backlog. `away` plays a broker that cannot be reached."""

    waiting: dict[str, deque[OutgoingMessage]] = field(default_factory=dict)
    away: bool = False
    sent: list[OutgoingMessage] = field(default_factory=list)

    def send(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Queue the messages, in order; each says all that the real one needs."""
        if self.away:
            return False
        for each in messages:
            assert isinstance(each.subject_id, UUID), each
            assert each.sent_at.tzinfo is not None, each
            assert each.queue.startswith("checkout."), each
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

    def take(self, queue: str, limit: int = 64) -> list[UUID]:
        """Hand over a batch."""
        ready = self.waiting.get(queue, deque())
        return [ready.popleft().subject_id for _ in range(min(limit, len(ready)))]

    def lose_all(self) -> None:
        """Forget every message, as an emptied Redis does."""
        self.waiting.clear()


class Works:
    """The whole engine in one thread, stepped by the test."""

    def __init__(
        self, engine: Engine, settings: Settings, gateway: Gateway | None = None, line: Line | None = None
    ) -> None:
        """Put it together."""
        self.engine, self.settings, self.line = engine, settings, line or Line()
        self.gateway = gateway or build_gateway(settings)
        self.use(self.gateway, backlog=self.line)

    def use(self, gateway: Gateway, *, waits: Sequence[float] = TRANSIENT_WAITS, **how: Any) -> None:
        """Build everything anew upon this gateway; `how` is for the executor. Whoever has used another closes it."""
        transactions = TransactionRunner(self.engine, waits=waits)
        self.wire(transactions, Executor(transactions, self.line, gateway, self.settings, **how), gateway)

    def wire(self, transactions: TransactionRunner, executor: Executor, gateway: Gateway) -> None:
        """Build everything anew upon these."""
        self.transactions, self.executor = transactions, executor
        self.runner = Runner(executor, gateway, self.settings)
        self.unwinder = Unwinder(executor, self.settings)
        self.poller = PaymentPoller(executor, self.settings)
        self.inbox = Inbox(executor, self.poller, self.settings)
        self.service = CheckoutService(self.engine, transactions, self.line, gateway, self.settings)

    def close(self) -> None:
        """Give back threads and connections."""
        self.executor.close()
        self.gateway.close()

    def run_phase(self, name: str, *, batch: int = 64) -> int:
        """Work on one batch of one queue; returns how many messages it took."""
        phase = next(each for each in get_chain() if each.name == name)
        ids = self.line.take(phase.queue, batch)
        if ids:
            self.runner.run(phase, ids)
        return len(ids)

    def pump(self, *, until: str | None = None, batch: int = 64) -> None:
        """Work until every queue is empty, or until only queues from the phase `until` on hold messages."""
        chain = get_chain()
        stop = next((each.number for each in chain if each.name == until), len(chain) + 1)
        while True:
            took = sum(self.run_phase(each.name, batch=batch) for each in chain if each.number < stop)
            if ids := self.line.take(UNWIND, batch):
                self.unwinder.run(ids)
            if late := self.line.take(RESOLVE, batch):
                resolve(self.transactions, self.runner, self.unwinder, self.poller, late)
            if notices := self.line.take(WEBHOOKS, batch):
                self.inbox.run(notices)
            if not took and not ids and not late and not notices:
                return

    def sweep(self) -> SweepCounts:
        """Run one tick."""
        return sweep(self.transactions, self.line, self.line, self.settings)

    def start(self, cart_id: UUID, *, token: str | None = None, owner: str = OWNER, **others: Any) -> UUID:
        """Start a checkout; with a token, straight through."""
        payment = None if token is None else PaymentInput(token=token)
        key = others.pop("idempotency_key", str(uuid4()))
        request = StartRequest(owner=owner, cart_id=cart_id, payment=payment, idempotency_key=key, **others)
        return self.service.start(request).checkout_id

    def pay(self, checkout_id: UUID, token: str | None = "tok_ok", **others: Any) -> CommandResult:
        """Pay a started checkout; without a token, confirm one that costs nothing."""
        key = others.pop("idempotency_key", str(uuid4()))
        owner = others.pop("owner", OWNER)
        return self.service.process(
            ProcessRequest(
                owner=owner,
                checkout_id=checkout_id,
                idempotency_key=key,
                payment=None if token is None else PaymentInput(token=token),
                **others,
            )
        )

    def status(self, checkout_id: UUID) -> Status:
        """Tell where a checkout stands."""
        return self.service.status(checkout_id=checkout_id)

    def states(self, ids: Sequence[UUID]) -> list[str]:
        """Return the states of these checkouts in their order."""
        return [self.status(each).state.value for each in ids]


class Shelf:
    """Goods and carts for a test."""

    def __init__(self, engine: Engine) -> None:
        """Write into this database."""
        self.engine = engine

    def add_variant(
        self,
        sku: str,
        *,
        stock: int | Mapping[str, int] = 10,
        price_minor: int | None = 250,
        currency: str = "EUR",
        active: bool = True,
        backorder: bool = False,
        category: str | None = None,
        tax_included: bool = True,
    ) -> int:
        """Put a variant on sale, with stock at `main` or at the named locations."""
        levels = {"main": stock} if isinstance(stock, int) else stock
        with self.engine.begin() as connection:
            variant_id: int = connection.execute(
                insert(Variant)
                .values(sku=sku, title=f"The {sku}", active=active, category=category)
                .returning(Variant.id)
            ).scalar_one()
            if price_minor is not None:
                price = {"currency": currency, "amount_minor": price_minor, "tax_included": tax_included}
                connection.execute(insert(Price).values(variant_id=variant_id, **price))
            for code, units in levels.items():
                location_id = connection.execute(
                    text("""
                        INSERT INTO locations (code) VALUES (:code)
                        ON CONFLICT (code) DO UPDATE SET code = EXCLUDED.code RETURNING id
                    """),
                    {"code": code},
                ).scalar_one()
                connection.execute(
                    text("""
                        INSERT INTO stock_levels (variant_id, location_id, on_hand, backorderable)
                        VALUES (:variant_id, :location_id, :units, :backorder)
                    """),
                    {"variant_id": variant_id, "location_id": location_id, "units": units, "backorder": backorder},
                )
                if units:
                    connection.execute(
                        text("""
                            INSERT INTO stock_movements (variant_id, location_id, kind, quantity)
                            VALUES (:variant_id, :location_id, 'receive', :units)
                        """),
                        {"variant_id": variant_id, "location_id": location_id, "units": units},
                    )
        return variant_id

    def add_promotion(self, kind: str = "percentage", title: str = "Ten off", **columns: Any) -> int:
        """Write a promotion; it is valid from now on unless the columns say otherwise."""
        with self.engine.begin() as connection:
            made = insert(Promotion).values(kind=kind, title=title, **columns).returning(Promotion.id)
            return connection.execute(made).scalar_one()

    def add_coupon(
        self, code: str, promotion_id: int | None = None, *, limit: int | None = None, each: int | None = None
    ) -> None:
        """Write a coupon, for ten per cent off unless a promotion is named; `each` is its limit per customer."""
        chosen = self.add_promotion(percent=10) if promotion_id is None else promotion_id
        with self.engine.begin() as connection:
            connection.execute(
                insert(Coupon).values(code=code, promotion_id=chosen, usage_limit=limit, per_customer_limit=each)
            )

    def add_tax(self, rate: str, country: str = "GB", name: str = "VAT", **columns: Any) -> None:
        """Write a tax rate."""
        with self.engine.begin() as connection:
            connection.execute(insert(TaxRate).values(country=country, name=name, rate=Decimal(rate), **columns))

    def add_rate(self, base: str, quote: str, rate: str, *, observed_at: datetime, source: str = "ECB") -> None:
        """Write an exchange rate."""
        values = {"base": base, "quote": quote, "rate": Decimal(rate), "source": source, "observed_at": observed_at}
        with self.engine.begin() as connection:
            connection.execute(insert(ExchangeRate).values(**values))

    def add_cart(
        self,
        *lines: tuple[str, int] | tuple[str, int, int],
        currency: str = "EUR",
        address: Mapping[str, Any] | None = ADDRESS,
        line_currency: str | None = None,
        line_columns: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> UUID:
        """Fill a cart with (sku, quantity) or (sku, quantity, external price); `line_columns` are of every line."""
        cart_id = uuid4()
        given = {"shipping_address": address, **columns}
        present = {name: value for name, value in given.items() if value is not None}
        with self.engine.begin() as connection:
            connection.execute(insert(Cart).values(id=cart_id, currency=currency, **present))
            for number, line in enumerate(lines, start=1):
                price = line[2] if len(line) > 2 else None
                place = {"cart_id": cart_id, "line": number, "sku": line[0], "quantity": line[1]}
                own = {"unit_price_minor": price, "currency": line_currency, **(line_columns or {})}
                connection.execute(insert(CartLine).values(**place, **own))
        return cart_id

    def row(self, sql: str, **parameters: Any) -> Row[Any]:
        """Return the one row of a query."""
        with self.engine.connect() as connection:
            return connection.execute(text(sql), parameters).one()

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), parameters)]

    def stock(self, sku: str) -> tuple[int, int]:
        """Return on hand and reserved over all locations."""
        row = self.row(
            "SELECT sum(on_hand) AS on_hand, sum(reserved) AS reserved FROM stock_levels JOIN variants v ON v.id ="
            " variant_id WHERE sku = :sku",
            sku=sku,
        )
        return int(row.on_hand), int(row.reserved)

    def run(self, sql: str, **parameters: Any) -> int:
        """Run one statement in a transaction of its own; returns how many rows it touched."""
        with self.engine.begin() as connection:
            return connection.execute(text(sql), parameters).rowcount

    def force(self, sql: str, **parameters: Any) -> None:
        """Run one statement past every trigger: what is refused to everybody else."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.execute(text(sql), parameters)


@contextmanager
def build_works(engine: Engine, settings: Settings, gateway: Gateway | None = None) -> Iterator[Works]:
    """Give an engine that is closed at the end."""
    works = Works(engine, settings, gateway)
    try:
        yield works
    finally:
        works.close()
