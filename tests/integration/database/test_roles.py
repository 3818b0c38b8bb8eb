"""The worker's role does all that the engine does, and cannot change what has been written down."""

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DatabaseError, ProgrammingError

from pipeline.audit import audit
from pipeline.catalog.batches import WrittenBatch
from pipeline.catalog.batches.forms import VariantBatch
from pipeline.database import connect_engine
from pipeline.database.roles import SECRETS, Role, grant
from pipeline.errors import Code, Unavailable
from pipeline.gateways.installed import list_grants
from pipeline.operations import diagnose, read_detail, read_stats
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works, build_works
from tests.support.workbench import take_snapshot
from workers.web.context import CatalogDesk

USERS: Final = {Role.WORKER: "test_worker", Role.CLERK: "test_clerk", Role.READER: "test_reader"}


def connect(settings: Settings, role: Role) -> Engine:
    """Return an engine that connects as a user of this role."""
    url = make_url(settings.database_url.get_secret_value()).set(username=USERS[role])
    return connect_engine(
        settings, application_name="roles", pool_size=4, url=url.render_as_string(hide_password=False)
    )


@pytest.fixture
def worker(engine: Engine, settings: Settings) -> Iterator[Engine]:
    """Connections of the workers."""
    with engine.begin() as connection:
        grant(connection, list_grants())
        grant(connection, list_grants())  # again, as after each migration
        for role, user in USERS.items():
            made = connection.execute(text("SELECT FROM pg_roles WHERE rolname = :user"), {"user": user}).first()
            if made is None:
                connection.execute(text(f"CREATE USER {user}"))
            connection.execute(text(f"GRANT {role} TO {user}"))
    found = connect(settings, Role.WORKER)
    yield found
    found.dispose()


@pytest.fixture
def shop(worker: Engine, settings: Settings, shelf: Shelf) -> Iterator[Works]:
    """The engine, connected as the worker; its bank too."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_coupon("TEN", limit=5)
    url = SecretStr(worker.url.render_as_string(hide_password=False))
    own = settings.model_copy(update={"database_url": url}).with_gateway_options(database_url=None)
    with build_works(worker, own) as works:
        yield works


def test_everything_is_bought_undone_and_expired(shop: Works, shelf: Shelf, engine: Engine, settings: Settings) -> None:
    # When
    bought = shop.start(shelf.add_cart(("cup", 1), coupon_codes=["TEN"]), token="tok_ok")
    declined = shop.start(shelf.add_cart(("cup", 1), coupon_codes=["TEN"]), token="tok_capture_declined")
    cancelled, expired = (shop.start(shelf.add_cart(("cup", 1))) for _ in range(2))
    shop.pump()
    shop.service.cancel(cancelled, "shop-1")
    shelf.run("UPDATE checkouts SET expires_at = now() WHERE id = :id", id=expired)
    shop.sweep()
    shop.pump()
    # Then
    assert shop.states([bought, declined, cancelled, expired]) == ["completed", "failed", "cancelled", "expired"]
    assert shelf.stock("cup") == (8, 0)
    with engine.connect() as connection:
        assert audit(connection, settings) == []


FORBIDDEN: Final = (
    "UPDATE events SET kind = 'checkout.cancelled'",
    "DELETE FROM events",
    "UPDATE stock_movements SET quantity = 0",
    "DELETE FROM stock_movements",
    "UPDATE price_locks SET total_minor = 1",
    "DELETE FROM price_locks",
    "UPDATE checkout_lines SET variant_id = 1",
    "DELETE FROM checkout_lines",
    "UPDATE price_lock_lines SET total_minor = 1",
    "UPDATE orders SET total_minor = 1",
    "DELETE FROM orders",
    "UPDATE order_lines SET total_minor = 1",
    "DELETE FROM checkouts",
    "DELETE FROM payments",
    "DELETE FROM payment_operations",
    "DELETE FROM idempotency_keys",
    "UPDATE prices SET amount_minor = 1",
    "UPDATE variants SET active = false",
    "INSERT INTO tax_rates (country, name, rate) VALUES ('GB', 'VAT', 0)",
    "UPDATE coupons SET usage_limit = 1000",
    "INSERT INTO stock_levels (variant_id, location_id, on_hand) SELECT id, 1, 5 FROM variants",
    "UPDATE reservations SET quantity = 0",
    "UPDATE api_keys SET scopes = '{admin}'",
    "INSERT INTO webhook_endpoints (url, secret) VALUES ('https://evil.example', 's')",
    "TRUNCATE checkouts CASCADE",
    "TRUNCATE events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE events ADD COLUMN x int",
    "DROP TABLE events",
    "DROP TRIGGER append_only ON events",
    "CREATE TABLE public.mine (id int)",
    "SET session_replication_role = replica",
    "UPDATE alembic_version SET version_num = 'x'",
    "CREATE ROLE other",
    "CREATE TEMPORARY TABLE checkouts (LIKE public.checkouts)",
    "CREATE TEMPORARY VIEW carts AS SELECT * FROM public.carts",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE sandbox.mine AS (a int)",
    "ALTER FUNCTION cart_guard() RESET search_path",
    "UPDATE checkouts SET owner = 'thief'",
    "UPDATE checkouts SET cart_id = gen_random_uuid()",
    "UPDATE checkouts SET currency = 'JPY'",
    "UPDATE carts SET owner = 'thief'",
    "UPDATE payments SET gateway = 'other'",
    "UPDATE payment_operations SET amount_minor = 1",
    "UPDATE payment_operations SET idempotency_key = 'mine'",
    "UPDATE payment_operations SET checkout_id = gen_random_uuid()",
    "UPDATE orders SET owner = 'thief'",
    "UPDATE redemptions SET code = 'OTHER'",
    "UPDATE idempotency_keys SET checkout_id = gen_random_uuid()",
    "UPDATE stored_responses SET owner = 'thief'",
    "UPDATE webhook_inbox SET body = '{}'",
    "UPDATE webhook_deliveries SET endpoint_id = gen_random_uuid()",
    "UPDATE rejected_messages SET body = ''",
    "TRUNCATE rejected_messages",
    "SELECT kind FROM partitions.events_default",
    "DELETE FROM partitions.events_default",
    "INSERT INTO partitions.events_default (checkout_id, kind) VALUES (gen_random_uuid(), 'x')",
    "TRUNCATE partitions.stock_movements_default",
    "ALTER TABLE stock_movements DETACH PARTITION partitions.stock_movements_default",
    "SELECT make_partition('events', '2031-01-01')",
    "CREATE TABLE partitions.mine (id int)",
    "INSERT INTO detached_months (month, from_id, until_id)"
    " VALUES ('2024-01-01', gen_random_uuid(), gen_random_uuid())",
)


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_hand_written_sql_changes_no_history(shop: Works, shelf: Shelf, worker: Engine, statement: str) -> None:
    shop.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    shop.pump()
    before = fingerprint(shelf)
    with worker.connect() as connection, pytest.raises(ProgrammingError) as caught:
        connection.execute(text(statement))
    assert getattr(caught.value.orig, "sqlstate", None) == "42501", caught.value  # insufficient_privilege
    assert fingerprint(shelf) == before


#: What its rights allow it to write, and a trigger refuses.
REFUSED: Final = (
    ("UPDATE payments SET status = 'new'", "CK003"),
    ("UPDATE payments SET reference = 'pay_other'", "CK002"),
    ("UPDATE payment_operations SET status = 'intended'", "CK003"),
    ("UPDATE payment_operations SET status = 'declined' WHERE kind = 'authorize'", "CK003"),
    ("UPDATE orders SET state = 'cancelled', number = NULL", "CK002"),
    ("UPDATE orders SET number = 7", "CK002"),
    ("UPDATE checkouts SET failure_code = 'x'", "CK002"),
    ("UPDATE reservations SET state = 'held'", "CK003"),
    ("DELETE FROM rejected_messages", "CK002"),
)


@pytest.mark.parametrize(("statement", "expected"), REFUSED)
def test_hand_written_sql_cannot_go_back(
    shop: Works, shelf: Shelf, worker: Engine, engine: Engine, statement: str, expected: str
) -> None:
    shop.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    shop.pump()
    shelf.run("INSERT INTO rejected_messages (queue, body, code, message) VALUES ('q', 'b', 'c', 'm')")
    before = take_snapshot(engine)
    with worker.connect() as connection, pytest.raises(DatabaseError) as caught:
        connection.execute(text(statement))
    assert getattr(caught.value.orig, "sqlstate", None) == expected, caught.value
    assert take_snapshot(engine) == before


def test_the_worker_sells_and_forgets_after_a_month(shop: Works, shelf: Shelf) -> None:
    shelf.run(
        "INSERT INTO rejected_messages (queue, body, code, message, received_at)"
        " VALUES ('q', 'b', 'c', 'm', now() - interval '31 days')"
    )
    assert shop.sweep().deleted == 1


def fingerprint(shelf: Shelf) -> list[tuple[object, ...]]:
    """Return what must not change."""
    return [
        *shelf.rows("SELECT id, state, phase FROM checkouts"),
        *shelf.rows("SELECT id, kind FROM events ORDER BY id"),
        *shelf.rows("SELECT id, total_minor, state FROM orders"),
        *shelf.rows("SELECT variant_id, on_hand, reserved FROM stock_levels"),
        *shelf.rows("SELECT sum(quantity) FROM stock_movements"),
    ]


def test_the_reader_reads_all_but_secrets_and_writes_nothing(
    shop: Works, shelf: Shelf, worker: Engine, settings: Settings
) -> None:
    del worker
    bought = shop.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    shop.pump()
    reader = connect(settings, Role.READER)
    with reader.connect() as connection:
        assert read_stats(connection, settings).states["completed"] == 1
        assert diagnose(connection, settings)
        assert read_detail(connection, bought).status.state == "completed"
        connection.rollback()
        assert audit(connection, settings) == []
    for table, columns in SECRETS.items():
        for column in columns:
            with reader.connect() as connection, pytest.raises(ProgrammingError):
                connection.execute(text(f"SELECT {column} FROM {table}"))
    for statement in ("DELETE FROM carts", "UPDATE checkouts SET phase = 1", "INSERT INTO heartbeats VALUES ('x')"):
        with reader.connect() as connection, pytest.raises(ProgrammingError):
            connection.execute(text(statement))
    reader.dispose()


def test_the_edge_writes_the_catalog_as_a_clerk_and_not_as_a_worker(
    worker: Engine, settings: Settings, engine: Engine
) -> None:
    batch = VariantBatch.model_validate({"rows": [{"sku": "cup", "title": "A cup"}]})

    async def write(**urls: SecretStr) -> WrittenBatch:
        desk = CatalogDesk(settings.model_copy(update=urls), waits=(0.01,))
        try:
            return await desk.write(batch, owner="erp", actor="key:k", idempotency_key="k")
        finally:
            desk.close()

    def name(role: Role) -> SecretStr:
        url = make_url(settings.database_url.get_secret_value()).set(username=USERS[role])
        return SecretStr(url.render_as_string(hide_password=False))

    with pytest.raises(Unavailable) as refused:
        asyncio.run(write(database_url=name(Role.WORKER)))
    assert refused.value.code is Code.CATALOG_READ_ONLY
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM variants")).scalar_one() == 0
    assert asyncio.run(write(database_url=name(Role.WORKER), catalog_url=name(Role.CLERK))).done == 1
    with engine.begin() as connection:
        assert connection.scalars(text("SELECT sku FROM variants")).all() == ["cup"]
