"""Lists of orders: filters, pages, and plans that do not grow with the table."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from models.states import OrderState
from pipeline.database import reading
from pipeline.errors import Invalid
from pipeline.field_types.cursors import write_cursor
from pipeline.operations.order_search import find_orders
from pipeline.orders.reading import OrderFilter, OrderPage, list_orders
from tests.integration.orders.counter import Counter, cancel
from tests.support.harness import OWNER

pytestmark = pytest.mark.usefixtures("numbered")


def look(
    counter: Counter, owner: str | None = OWNER, after: str | None = None, limit: int = 50, **wanted: Any
) -> OrderPage:
    """Read one page."""
    with reading(counter.engine) as connection:
        return list_orders(connection, OrderFilter(**wanted), owner=owner, after=after, limit=limit)


def found(counter: Counter, owner: str | None = OWNER, **wanted: Any) -> list[int]:
    """Return the numbers of the orders that fulfil this."""
    return [each.number for each in look(counter, owner, **wanted).entries]


def test_orders_are_found_by_what_is_known_of_them(counter: Counter) -> None:
    first = counter.place(("cup", 1), customer="Ada")
    second = counter.place(("pot", 1), customer="Bob")
    counter.do(first, cancel())
    reference = counter.shelf.row(
        "SELECT p.reference FROM payments p JOIN orders o USING (checkout_id) WHERE o.id = :id", id=second
    ).reference
    assert found(counter) == [1002, 1001]
    assert found(counter, number=1001) == [1001]
    assert found(counter, customer="Ada") == [1001]
    assert found(counter, state=OrderState.CANCELLED) == [1001]
    assert found(counter, state=OrderState.PLACED) == [1002]
    assert found(counter, payment_reference=reference) == [1002]
    assert found(counter, number=1001, customer="Bob") == []
    for nothing in ({"number": 1003}, {"customer": "ada"}, {"reference": "x"}, {"payment_reference": "pi_x"}):
        assert found(counter, **nothing) == []


def test_orders_of_others_are_for_operators_only(counter: Counter) -> None:
    counter.place(("cup", 1))
    assert (found(counter, "other"), found(counter, "other", number=1001), found(counter, None)) == ([], [], [1001])


def test_orders_are_found_by_their_time(counter: Counter) -> None:
    counter.place(("cup", 1))
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert found(counter, since=now - hour, until=now + hour) == [1001]
    assert found(counter, since=now + hour) == found(counter, until=now - hour) == []


def test_orders_that_were_not_placed_are_not_listed(counter: Counter) -> None:
    counter.works.start(counter.shelf.add_cart(("cup", 1)), token="tok_ok")
    counter.works.pump(until="payment_capture")
    counter.works.start(counter.shelf.add_cart(("pot", 1)), token="tok_capture_declined")
    counter.works.pump(until="payment_capture")
    assert counter.shelf.row("SELECT count(*) AS n FROM orders").n == 2
    assert found(counter) == found(counter, state=OrderState.PENDING) == []


def test_pages_go_on_where_the_one_before_ended(counter: Counter) -> None:
    for _ in range(3):
        counter.place(("cup", 1))
    first = look(counter, limit=2)
    counter.place(("pot", 1))  # newer than the first page: no later one shows it
    second = look(counter, after=first.next_after, limit=2)
    assert [[each.number for each in page.entries] for page in (first, second)] == [[1003, 1002], [1001]]
    assert second.next_after is None
    assert len(look(counter, limit=0).entries) == 1


@pytest.mark.parametrize("cursor", ["", "x", "å", "AAAA", "A" * 23, "A" * 22 + "=", "A" * 500, "A" * 21 + "B"])
def test_a_text_that_is_no_cursor_is_refused(counter: Counter, cursor: str) -> None:
    with pytest.raises(Invalid, match="after is no cursor of this list"):
        look(counter, after=cursor)


def test_no_page_reads_more_than_itself(engine: Engine) -> None:
    # Given twenty thousand orders, of which few match the filter
    with engine.connect() as connection, connection.begin() as transaction:
        fill(connection)
        after = write_cursor(uuid4().bytes)
        for owner in ("rare", "shop", None):
            for wanted in (
                OrderFilter(),
                OrderFilter(number=7),
                OrderFilter(reference="r-7"),
                OrderFilter(customer="c-7"),
                OrderFilter(customer="c-7", state=OrderState.CANCELLED),
                OrderFilter(state=OrderState.CANCELLED),
                OrderFilter(state=OrderState.PLACED),
                OrderFilter(payment_reference="p-7"),
                OrderFilter(since=datetime(2600, 1, 1, tzinfo=UTC), until=datetime(2601, 1, 1, tzinfo=UTC)),
            ):
                for cursor in (None, after):
                    assert read_rows(connection, wanted, owner, cursor) < 300, (owner, wanted, cursor)
        transaction.rollback()


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ("id", True),
        ("checkout_id", True),
        ("cart_id", False),
        ("reference", True),
        ("customer", True),
        ("number", True),
    ],
)
def test_a_search_reads_few_rows(engine: Engine, column: str, *, found: bool) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        fill(connection)
        words = str(connection.execute(text(f"SELECT {column} FROM orders WHERE number = 7")).scalar_one())
        before = count_rows_read(connection)
        wanted = find_orders(connection, words, OrderFilter(), owner=None)
        assert (wanted is not None) == found  # these orders have no checkouts, and so no carts
        assert count_rows_read(connection) - before < 300
        transaction.rollback()


def fill(connection: Connection) -> None:
    """Write many orders, in SQL and without what belongs to them."""
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    connection.exec_driver_sql("""
        INSERT INTO orders (id, checkout_id, cart_id, number, state, owner, reference, customer, currency,
                            subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor,
                            shipping_address, placed_at)
        SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), n,
               CASE WHEN mod(n, 1000) = 1 THEN 'cancelled' ELSE 'placed' END,
               CASE WHEN mod(n, 1000) = 0 THEN 'rare' ELSE 'shop' END, 'r-' || n, 'c-' || mod(n, 2000), 'EUR', 1, 0,
               0, 0, 1, '{}', now()
        FROM generate_series(1, 20000) AS n
    """)
    connection.exec_driver_sql(
        "INSERT INTO payments (checkout_id, gateway, token, reference)"
        " SELECT checkout_id, 'sandbox', 't', 'p-' || number FROM orders"
    )
    connection.exec_driver_sql("ANALYZE orders, payments")


def read_rows(connection: Connection, wanted: OrderFilter, owner: str | None, after: str | None) -> int:
    """Return how many rows of `orders` and `payments` a page made the database read."""
    before = count_rows_read(connection)
    list_orders(connection, wanted, owner=owner, after=after)
    return count_rows_read(connection) - before


def count_rows_read(connection: Connection) -> int:
    """Return how many rows of `orders` and `payments` this transaction has read."""
    counted = (
        "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables WHERE relname IN ('orders', 'payments')"
    )
    return int(connection.execute(text(counted)).scalar_one())
