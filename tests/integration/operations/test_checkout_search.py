"""The register of checkouts: filtered, in pages, and at the same cost on every page."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from models.states import CheckoutState
from pipeline.database.ids import first_id
from pipeline.operations.checkout_search import Filter, read_page
from tests.support.harness import Shelf, Works


@pytest.fixture
def shop(works: Works, shelf: Shelf) -> list[Any]:
    """Five checkouts: two waiting, one cancelled, one completed, one of another owner; the oldest first."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    ids = [works.start(shelf.add_cart(("cup", 1))) for _ in range(3)]
    works.pump()
    works.service.cancel(ids[2], "shop-1")
    ids.append(works.start(shelf.add_cart(("cup", 1)), token="tok_ok", reference="4711"))
    ids.append(works.start(shelf.add_cart(("cup", 1)), owner="shop-2"))
    works.pump()
    return ids


def test_pages_follow_each_other_newest_first(shop: list[Any], engine: Engine) -> None:
    with engine.connect() as connection:
        first = read_page(connection, Filter(), limit=2)
        second = read_page(connection, Filter(before=first.next_before), limit=2)
        last = read_page(connection, Filter(before=second.next_before), limit=2)
    assert [entry.id for page in (first, second, last) for entry in page.entries] == shop[::-1]
    assert (first.next_before, second.next_before, last.next_before) == (shop[3], shop[1], None)
    order = first.entries[1]
    assert (order.state, order.reference, order.total_minor, order.phases_completed) == ("completed", "4711", 250, 7)
    assert order.order_number is not None


def test_each_filter_alone_and_together(shop: list[Any], engine: Engine, shelf: Shelf) -> None:
    [(cart_id,)] = shelf.rows("SELECT cart_id FROM checkouts WHERE id = :id", id=shop[0])
    now = datetime.now(UTC)
    wanted = {
        Filter(state=CheckoutState.AWAITING_PAYMENT): [shop[4], shop[1], shop[0]],
        Filter(state=CheckoutState.CANCELLED): [shop[2]],
        Filter(owner="shop-2"): [shop[4]],
        Filter(owner="shop-2", state=CheckoutState.COMPLETED): [],
        Filter(cart_id=cart_id): [shop[0]],
        Filter(since=now - timedelta(minutes=5)): shop[::-1],
        Filter(since=now + timedelta(minutes=5)): [],
        Filter(until=now - timedelta(minutes=5)): [],
        Filter(until=now + timedelta(minutes=5)): shop[::-1],
    }
    with engine.connect() as connection:
        for each, ids in wanted.items():
            assert [entry.id for entry in read_page(connection, each).entries] == ids, each


def test_a_page_is_bounded(shop: list[Any], engine: Engine) -> None:
    with engine.connect() as connection:
        assert len(read_page(connection, Filter(), limit=0).entries) == 1
        assert len(read_page(connection, Filter(), limit=10_000).entries) == 5


def test_the_first_id_of_a_moment() -> None:
    assert str(first_id(datetime.fromtimestamp(1, UTC))) == "00000000-03e8-0000-0000-000000000000"


def test_no_page_reads_more_than_itself(engine: Engine) -> None:
    # Given twenty thousand checkouts, of which few match the filter
    with engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(
            "INSERT INTO checkouts (id, cart_id, owner, currency, state, phase, straight_through, expires_at, ended_at)"
            " SELECT gen_random_uuid(), gen_random_uuid(),"
            " CASE WHEN mod(n, 1000) = 0 THEN 'rare' ELSE 'shop' END, 'EUR',"
            " CASE WHEN mod(n, 1000) = 1 THEN 'expired' ELSE 'completed' END,"
            " CASE WHEN mod(n, 1000) = 1 THEN 0 ELSE 7 END, true, now(), now() FROM generate_series(1, 20000) AS n"
        )
        connection.exec_driver_sql("ANALYZE checkouts")
        for wanted in (
            Filter(),
            Filter(before=uuid4()),
            Filter(owner="rare"),
            Filter(state=CheckoutState.EXPIRED),
            Filter(cart_id=uuid4()),
        ):
            assert read_rows(connection, wanted) < 300, wanted
        transaction.rollback()


def read_rows(connection: Any, wanted: Filter) -> int:
    """Return how many rows of `checkouts` a page made the database read."""
    counted = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'checkouts'")
    before = connection.execute(counted).scalar_one()
    read_page(connection, wanted)
    return int(connection.execute(counted).scalar_one() - before)
