"""Two cells with databases of their own, and one bank for both."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Engine, text

from models.cells import HEARTBEAT
from pipeline.audit import check
from pipeline.database import connect_engine
from pipeline.database.temporary import open_database
from pipeline.operations.cells import Moving, move_owner
from pipeline.operations.cells.owned_tables import OWNED
from pipeline.orders.requests import FulfillmentRequest, LineUnits, PlacedUnits, RefundRequest, RestockRequest
from pipeline.security import Scope, create_key
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works, build_works
from tests.support.patience import WAIT_SECONDS
from tests.support.tables import empty_tables

MOVER: Final = "shop-m"
STAYER: Final = "shop-s"


@dataclass
class Cell:
    """One cell: its settings, its database, its goods and its engine."""

    settings: Settings
    engine: Engine
    shelf: Shelf
    works: Works

    def count_rows(self, owner: str) -> dict[str, int]:
        """Return how many rows of each table an owner has."""
        with self.engine.connect() as connection:
            cursor: Any = connection.connection.cursor()
            found = {}
            for table in OWNED:
                cursor.execute(table.fingerprint, {"owner": owner})
                found[table.name] = cursor.fetchone()[0]
            return found

    def fingerprints(self, owner: str) -> dict[str, str]:
        """Return the hash of the rows of each table."""
        with self.engine.connect() as connection:
            cursor: Any = connection.connection.cursor()
            found = {}
            for table in OWNED:
                cursor.execute(table.fingerprint, {"owner": owner})
                found[table.name] = str(cursor.fetchone())
            return found

    def orders(self, owner: str) -> list[tuple[Any, ...]]:
        """Return the orders of an owner."""
        return self.shelf.rows(
            "SELECT id, number, total_minor FROM orders WHERE owner = :owner AND state = 'placed' ORDER BY id",
            owner=owner,
        )

    def buy(self, owner: str, sku: str, quantity: int = 1, *, token: str = "tok_ok", **columns: Any) -> UUID:
        """Buy with a key of its own; return the checkout."""
        cart_id = self.shelf.add_cart((sku, quantity), owner=owner, **columns)
        checkout_id = self.works.start(cart_id, token=token, owner=owner, idempotency_key=f"key-{cart_id}")
        self.works.pump()
        return checkout_id

    def make_key(self, owner: str) -> str:
        """Return a key of an owner."""
        with self.engine.begin() as connection:
            return create_key(connection, owner=owner, name="till", scopes=[Scope.CHECKOUT], cell=self.settings.cell)[1]

    def assert_sound(self) -> None:
        """Assert that the audit is clean."""
        with self.engine.begin() as connection:
            assert check(connection, self.settings).violations == ()


@dataclass
class TwoCells:
    """The cells, the first one with a shop that moves and one that stays."""

    a: Cell
    b: Cell

    def moving(self, **changes: Any) -> Moving:
        """Return the move of the one shop from the first cell to the second."""
        given: dict[str, Any] = {
            "owner": MOVER,
            "cell": "b",
            "source": self.a.engine,
            "target": self.b.engine,
            "settings": self.a.settings,
            "target_settings": self.b.settings,
            "wait_seconds": 0,
        }
        return Moving(**given | changes)

    def move(self, **changes: Any) -> dict[str, int]:
        """Move it."""
        return dict(move_owner(self.moving(**changes)))

    def kill_at(self, step: str) -> None:
        """Move it in a process that is killed when this step has ended."""
        urls = [each.settings.database_url.get_secret_value() for each in (self.a, self.b)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.operations.cells.killed_move", step, *urls],
            env={**os.environ, "BANK_URL": read_bank(self.a.settings)},
            timeout=WAIT_SECONDS * 4,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == -9, done.stderr

    def fill(self) -> None:
        """Have both shops sell: orders, a declined card, a cancellation, a coupon, an open cart, a key, an endpoint."""
        a = self.a
        for sku, stock in (("cup", 50), ("pot", 50)):
            a.shelf.add_variant(sku, stock=stock)
        for cell, limit in ((a, 10), (self.b, 3)):
            cell.shelf.add_coupon("TEN", limit=limit)
        for owner in (MOVER, STAYER):
            a.shelf.run(
                "INSERT INTO webhook_endpoints (id, owner, url, secret, kinds)"
                " VALUES (gen_random_uuid(), :owner, 'https://shop.example', 'whsec_eA==', '{checkout.completed}')",
                owner=owner,
            )
            self.change(owner, a.buy(owner, "cup", 2))
            a.buy(owner, "pot")
            a.buy(owner, "cup", coupon_codes=["TEN"])
            a.buy(owner, "cup", token="tok_declined")
            a.shelf.add_cart(("pot", 1), owner=owner)
            a.make_key(owner)
            a.shelf.run(
                "INSERT INTO stored_responses (owner, key, fingerprint, leased_until, status, body)"
                " VALUES (:owner, 'k', 'f', now(), 200, '{\"é\": \"\\\\t\"}')",
                owner=owner,
            )
        cancelled = a.works.start(a.shelf.add_cart(("cup", 1), owner=MOVER), owner=MOVER)
        a.works.pump()
        a.works.service.cancel(cancelled, MOVER)
        a.works.pump()
        self.deliver()

    def change(self, owner: str, checkout_id: UUID) -> None:
        """Have one of two cups come back: it was sent from elsewhere, is refunded, and is in stock again."""
        found = self.a.shelf.row("SELECT id FROM orders WHERE checkout_id = :id", id=checkout_id)
        self.a.shelf.run("INSERT INTO locations (code) VALUES ('elsewhere') ON CONFLICT DO NOTHING")
        sent = FulfillmentRequest(lines=(PlacedUnits(line=1, quantity=1, location="elsewhere"),))
        refunded = RefundRequest(lines=(LineUnits(line=1, quantity=1),))
        restocked = RestockRequest(lines=(PlacedUnits(line=1, quantity=1),))
        for request in (sent, refunded, restocked):
            self.a.works.orders.request(
                found.id, owner, request, actor="key:till", idempotency_key=f"{checkout_id}-{type(request).__name__}"
            )
            self.a.works.pump()

    def deliver(self) -> None:
        """Have every outbound webhook delivered."""
        self.a.shelf.run("UPDATE webhook_deliveries SET status = 'delivered', due_at = NULL, ended_at = now()")


def make_settings(run_settings: Settings, database_url: str, bank_url: str, cell: str) -> Settings:
    """Return the settings of a cell, whose bank is outside of it."""
    url = SecretStr(database_url)
    settings = run_settings.model_copy(update={"database_url": url, "cell": cell})
    return settings.with_gateway_options(database_url=SecretStr(bank_url))


def read_bank(settings: Settings) -> str:
    """Return the address of the bank."""
    assert settings.gateway_options is not None
    url: str = settings.gateway_options["database_url"].get_secret_value()
    return url


@contextmanager
def open_cell(settings: Settings) -> Iterator[Cell]:
    """Yield a cell with empty tables."""
    engine = connect_engine(settings, application_name="test", statement_timeout_seconds=0)
    try:
        with engine.begin() as connection:
            empty_tables(connection)
            connection.execute(
                text("INSERT INTO heartbeats (name) VALUES (:name)"), {"name": HEARTBEAT + settings.cell}
            )
        with build_works(engine, settings) as works:
            yield Cell(settings, engine, Shelf(engine), works)
    finally:
        engine.dispose()


@contextmanager
def open_databases(server_url: str) -> Iterator[tuple[str, str, str]]:
    """Yield the addresses of two cells and of their bank."""
    with (
        open_database(server_url, "cell_a") as a,
        open_database(server_url, "cell_b") as b,
        open_database(server_url, "cell_bank") as bank,
    ):
        yield a, b, bank


def show(rows: object) -> str:
    """Return rows as one text."""
    return json.dumps(rows, default=str)
