"""An engine inside the test: real PostgreSQL, real runner and unwind, and hand-written queues in memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, insert, text
from sqlalchemy.engine import Row

from models.cart import CartLineRecord, CartRecord
from models.catalog import PriceRecord, VariantRecord
from models.pricing import CouponRecord, ExchangeRateRecord, PromotionRecord, TaxRateRecord
from pipeline.gateways import Gateway, build_gateway
from pipeline.intake import PaymentInput, ProcessRequest
from pipeline.intake.result import CommandResult
from pipeline.messaging import OutgoingMessage
from pipeline.settings import Settings
from pipeline.testing import ADDRESS, OWNER, InProcessEngine, MemoryQueues

__all__ = ["ADDRESS", "OWNER", "Line", "Shelf", "Works", "build_works"]


class Line(MemoryQueues):
    """Queues in memory that check what is sent."""

    def send(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Queue the messages; assert that each has what a real one needs."""
        for each in messages:
            assert isinstance(each.subject_id, UUID), each
            assert each.sent_at.tzinfo is not None, each
            assert each.queue.startswith("checkout."), each
        return super().send(messages)


class Works(InProcessEngine):
    """The whole engine in one thread, stepped by the test."""

    def __init__(
        self, engine: Engine, settings: Settings, gateway: Gateway | None = None, line: Line | None = None
    ) -> None:
        """Build the engine."""
        super().__init__(engine, settings, gateway or build_gateway(settings), line or Line())

    @property
    def engine(self) -> Engine:
        """The database."""
        return self.database

    @property
    def line(self) -> MemoryQueues:
        """The queues."""
        return self.queues

    @line.setter
    def line(self, queues: MemoryQueues) -> None:
        self.queues = queues

    def pump(self, *, until: str | None = None, batch: int = 64) -> None:
        """Work until every queue is empty, or until only queues from the phase `until` on hold messages."""
        self.run(until=until, batch=batch)

    def pay(self, checkout_id: UUID, token: str | None = "tok_ok", **others: Any) -> CommandResult:
        """Pay a started checkout; without a token, confirm one with a total of zero."""
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

    def states(self, ids: Sequence[UUID]) -> list[str]:
        """Return the states of these checkouts in their order."""
        return [self.status(each).state.value for each in ids]


class Shelf:
    """Creates variants, prices and carts for a test, and queries the database."""

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
                insert(VariantRecord)
                .values(sku=sku, title=f"The {sku}", active=active, category=category)
                .returning(VariantRecord.id)
            ).scalar_one()
            if price_minor is not None:
                price = {"currency": currency, "amount_minor": price_minor, "tax_included": tax_included}
                connection.execute(insert(PriceRecord).values(variant_id=variant_id, **price))
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
            made = insert(PromotionRecord).values(kind=kind, title=title, **columns).returning(PromotionRecord.id)
            return connection.execute(made).scalar_one()

    def add_coupon(
        self, code: str, promotion_id: int | None = None, *, limit: int | None = None, each: int | None = None
    ) -> None:
        """Write a coupon, for ten per cent off unless a promotion is named; `each` is its limit per customer."""
        chosen = self.add_promotion(percent=10) if promotion_id is None else promotion_id
        with self.engine.begin() as connection:
            connection.execute(
                insert(CouponRecord).values(code=code, promotion_id=chosen, usage_limit=limit, per_customer_limit=each)
            )

    def add_tax(self, rate: str, country: str = "GB", name: str = "VAT", **columns: Any) -> None:
        """Write a tax rate."""
        with self.engine.begin() as connection:
            connection.execute(insert(TaxRateRecord).values(country=country, name=name, rate=Decimal(rate), **columns))

    def add_rate(self, base: str, quote: str, rate: str, *, observed_at: datetime, source: str = "ECB") -> None:
        """Write an exchange rate."""
        values = {"base": base, "quote": quote, "rate": Decimal(rate), "source": source, "observed_at": observed_at}
        with self.engine.begin() as connection:
            connection.execute(insert(ExchangeRateRecord).values(**values))

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
            connection.execute(insert(CartRecord).values(id=cart_id, currency=currency, **present))
            for number, line in enumerate(lines, start=1):
                price = line[2] if len(line) > 2 else None
                place = {"cart_id": cart_id, "line": number, "sku": line[0], "quantity": line[1]}
                own = {"unit_price_minor": price, "currency": line_currency, **(line_columns or {})}
                connection.execute(insert(CartLineRecord).values(**place, **own))
        return cart_id

    def row(self, sql: str, **parameters: Any) -> Row[Any]:
        """Return the one row of a query."""
        with self.engine.begin() as connection:
            return connection.execute(text(sql), parameters).one()

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples."""
        with self.engine.begin() as connection:
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
        """Run one statement in its own transaction; return how many rows it changed."""
        with self.engine.begin() as connection:
            return connection.execute(text(sql), parameters).rowcount

    def force(self, sql: str, **parameters: Any) -> None:
        """Run one statement without triggers, which refuse it otherwise."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.execute(text(sql), parameters)


@contextmanager
def build_works(engine: Engine, settings: Settings, gateway: Gateway | None = None) -> Iterator[Works]:
    """Yield an engine that is closed at the end."""
    works = Works(engine, settings, gateway)
    try:
        yield works
    finally:
        works.close()
