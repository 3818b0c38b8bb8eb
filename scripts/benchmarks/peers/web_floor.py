"""A shop's `POST /checkout` written by hand: the least that a purchase over HTTP can be, in one transaction.

It stores the cart, takes the units with a guard against overselling, adds up the prices, inserts the order, and stores
the response under the idempotency key. It has no API keys, no taxes, coupons or delivery, no price lock, no gateway
(the token is stored, and nobody is asked), no undo, no events, no webhooks and no queue: what the engine does beyond
this application is what the difference between the two figures pays for.

uvicorn serves it in two processes, with uvloop and httptools where they are installed (extra `peers`). Each process has
eight connections, which it keeps.
"""

import asyncio
import hashlib
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import uvicorn
from fastapi import FastAPI, Header, HTTPException
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from pydantic import BaseModel, Field
from sqlalchemy import Connection, text
from uvicorn.supervisors import Multiprocess

from pipeline.database.urls import read_database_url
from pipeline.settings import read_settings
from scripts.benchmarks.peers.work import PROCESSES, THREADS

APPLICATION: Final = "scripts.benchmarks.peers.web_floor:build_app"
COMMAND: Final = "python -m scripts.benchmarks.peers.web_floor {port}"
PRICE_MINOR: Final = 1999

TABLES: Final = text("""
    CREATE SCHEMA floor;
    CREATE TABLE floor.variants (
        sku text PRIMARY KEY, price_minor bigint NOT NULL, on_hand integer NOT NULL CHECK (on_hand >= 0)
    );
    CREATE TABLE floor.carts (id uuid PRIMARY KEY, currency text NOT NULL, shipping_address jsonb NOT NULL);
    CREATE TABLE floor.cart_lines (
        cart_id uuid REFERENCES floor.carts, sku text REFERENCES floor.variants, quantity integer NOT NULL,
        PRIMARY KEY (cart_id, sku)
    );
    CREATE TABLE floor.orders (
        id uuid PRIMARY KEY, number bigint GENERATED ALWAYS AS IDENTITY,
        cart_id uuid NOT NULL UNIQUE REFERENCES floor.carts,
        total_minor bigint NOT NULL, token text NOT NULL, placed_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE floor.order_lines (
        order_id uuid REFERENCES floor.orders, sku text REFERENCES floor.variants, quantity integer NOT NULL,
        price_minor bigint NOT NULL, PRIMARY KEY (order_id, sku)
    );
    CREATE TABLE floor.responses (key text PRIMARY KEY, request_hash bytea NOT NULL, response jsonb);
""")
STOCK: Final = text("""
    INSERT INTO floor.variants SELECT 'bench-' || n, :price_minor, :units FROM generate_series(1, :variants) AS n
""")
SOLD: Final = text("""
    SELECT (SELECT count(*) FROM floor.orders), (SELECT count(*) * :units - sum(on_hand) FROM floor.variants)
""")

REMEMBER: Final = "INSERT INTO floor.responses (key, request_hash) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING key"
RECALL: Final = "SELECT request_hash, response FROM floor.responses WHERE key = %s"
CART: Final = "INSERT INTO floor.carts VALUES (%s, %s, %s)"
CART_LINE: Final = "INSERT INTO floor.cart_lines VALUES (%s, %s, %s)"
TAKE: Final = """
    UPDATE floor.variants SET on_hand = on_hand - %(quantity)s WHERE sku = %(sku)s AND on_hand >= %(quantity)s
    RETURNING price_minor
"""
ORDER: Final = "INSERT INTO floor.orders (id, cart_id, total_minor, token) VALUES (%s, %s, %s, %s) RETURNING number"
ORDER_LINE: Final = "INSERT INTO floor.order_lines VALUES (%s, %s, %s, %s)"
RESPOND: Final = "UPDATE floor.responses SET response = %s WHERE key = %s"


class Line(BaseModel):
    """Units of one variant."""

    sku: str
    quantity: Annotated[int, Field(ge=1)]


class Cart(BaseModel):
    """What is bought."""

    id: UUID
    currency: str
    lines: Annotated[list[Line], Field(min_length=1)]
    shipping_address: dict[str, str]


class Payment(BaseModel):
    """What pays."""

    token: str


class Purchase(BaseModel):
    """The body of a request."""

    cart: Cart
    payment: Payment


Answer = dict[str, Any]


def create_shop(connection: Connection, variants: int, units: int) -> None:
    """Create the tables, and variants with so many units each."""
    connection.execute(TABLES)
    connection.execute(STOCK, {"price_minor": PRICE_MINOR, "units": units, "variants": variants})


def count_sold(connection: Connection, units: int) -> tuple[int, int]:
    """Return the numbers of orders, and of units sold where each variant had so many."""
    orders, sold = connection.execute(SOLD, {"units": units}).one()
    return orders, sold


def build_app() -> FastAPI:
    """Build the application on the database of the settings."""
    url = read_database_url(read_settings().database_url.get_secret_value()).set(drivername="postgresql")
    pool: asyncio.Queue[AsyncConnection] = asyncio.LifoQueue()

    @asynccontextmanager
    async def connect(_app: FastAPI) -> AsyncIterator[None]:
        for _ in range(THREADS):
            pool.put_nowait(await AsyncConnection.connect(url.render_as_string(hide_password=False)))
        yield
        while not pool.empty():
            await pool.get_nowait().close()

    app = FastAPI(lifespan=connect)

    @app.post("/checkout")
    async def check_out(purchase: Purchase, idempotency_key: Annotated[str, Header()]) -> Answer:
        connection = await pool.get()
        try:
            async with connection.transaction():
                return await buy(connection, purchase, idempotency_key)
        finally:
            pool.put_nowait(connection)

    return app


async def buy(connection: AsyncConnection, purchase: Purchase, key: str) -> Answer:
    """Make one purchase in this transaction, or return the stored response of its key."""
    cart, lines = purchase.cart, sorted(purchase.cart.lines, key=lambda line: line.sku)
    request_hash = hashlib.sha256(purchase.model_dump_json().encode()).digest()
    if await (await connection.execute(REMEMBER, [key, request_hash])).fetchone() is None:
        return await recall(connection, key, request_hash)
    await connection.execute(CART, [cart.id, cart.currency, Jsonb(cart.shipping_address)])
    prices = []
    for line in lines:
        await connection.execute(CART_LINE, [cart.id, line.sku, line.quantity])
        taken = await (await connection.execute(TAKE, {"quantity": line.quantity, "sku": line.sku})).fetchone()
        if taken is None:
            raise HTTPException(409, f"There are not enough units of {line.sku}.")
        prices.append(taken[0])
    total = sum(line.quantity * price for line, price in zip(lines, prices, strict=True))
    order_id = uuid4()
    order = await (await connection.execute(ORDER, [order_id, cart.id, total, purchase.payment.token])).fetchone()
    for line, price in zip(lines, prices, strict=True):
        await connection.execute(ORDER_LINE, [order_id, line.sku, line.quantity, price])
    answer = {"state": "completed", "order_id": str(order_id), "number": order and order[0], "total_minor": total}
    await connection.execute(RESPOND, [Jsonb(answer), key])
    return answer


async def recall(connection: AsyncConnection, key: str, request_hash: bytes) -> Answer:
    """Return the stored response; refuse a key that belongs to another request."""
    found = await (await connection.execute(RECALL, [key])).fetchone()
    if found is None or found[0] != request_hash:
        raise HTTPException(422, "The idempotency key belongs to another request.")
    answer: Answer = found[1]
    return answer


def main(port: int) -> None:
    """Serve the application until the process is stopped.

    The socket names its protocol. asyncio sends small packets at once only then, and uvicorn's own for more than one
    process does not: each response would take 40 ms.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(APPLICATION, factory=True, workers=PROCESSES, access_log=False, log_level="warning")
    Multiprocess(config, sockets=[listener]).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
