"""Stock by expectation, by difference and by count: sales that go on meanwhile are never overwritten."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import Connection, Engine, text

from pipeline.catalog import StockRow, VariantRow, set_stock, upsert_variants
from pipeline.catalog.stock_rows import StockChange, StockCount, StockDelta, StockRefused
from pipeline.checkouts import locks
from pipeline.errors import Code, NotFound
from pipeline.orders.requests import PlacedUnits, RestockRequest
from tests.integration.catalog.stockroom import read_stock, read_versions, rows_of, stock_up, wait_for_blocked
from tests.support.harness import Shelf, Works


def now(connection: Connection) -> datetime:
    found = connection.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(found, datetime)
    return found


def sell(shelf: Shelf, works: Works, units: int) -> None:
    works.start(shelf.add_cart(("cup", units)), token="tok_ok")
    works.pump()


def refuse(engine: Engine, *rows: StockRow | StockDelta | StockCount) -> StockRefused:
    """Set stock, which must be refused with nothing changed."""
    with engine.begin() as connection:
        before = read_versions(connection)
    with pytest.raises(StockRefused) as refused, engine.begin() as connection:
        set_stock(connection, rows)
    with engine.begin() as connection:
        assert read_versions(connection) == before
    return refused.value


def test_a_quantity_without_an_expectation_is_refused_for_a_level_that_is_there(engine: Engine) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5)

    error = refuse(engine, StockRow("A", "main", 50))

    assert error.code == Code.STOCK_EXPECTATION_REQUIRED
    assert str(error) == '"A" has 5 units at "main": add --expect 5, or say +5.'


def test_a_quantity_with_a_wrong_expectation_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5)

    error = refuse(engine, StockRow("A", "main", 50, expected=6))

    assert error.code == Code.STOCK_CHANGED
    assert str(error) == '"A" has 5 units at "main", not 6: count, and expect 5.'


def test_differences_are_received_or_adjusted(connection: Connection) -> None:
    stock_up(connection, 5)

    assert set_stock(connection, [StockDelta("A", "main", 3)]) == [StockChange("A", "main", 5, 8)]
    assert set_stock(connection, [StockDelta("A", "main", -8)]) == [StockChange("A", "main", 8, 0)]

    assert rows_of(connection, "SELECT kind, quantity FROM stock_movements ORDER BY id") == [
        ("receive", 5),
        ("receive", 3),
        ("adjust", -8),
    ]


@pytest.mark.parametrize(("delta", "reserved", "left"), [(-6, 0, -1), (-3, 3, 2)])
def test_a_difference_below_what_is_reserved_is_refused(engine: Engine, delta: int, reserved: int, left: int) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5, reserved=reserved)

    error = refuse(engine, StockDelta("A", "main", delta))

    assert error.code == Code.STOCK_RESERVED
    assert (
        str(error) == f'Checkouts hold {reserved} of "A" at "main", and {left} would be there: keep {reserved} or more.'
    )


def test_a_count_is_what_was_there_less_what_was_sold_since(engine: Engine, shelf: Shelf, works: Works) -> None:
    # Given a file that was written when there were 50, and two sales since
    shelf.add_variant("cup", stock=50, price_minor=100)
    with engine.begin() as connection:
        counted_at = now(connection)
    sell(shelf, works, 1)
    sell(shelf, works, 3)

    with engine.begin() as connection:
        assert set_stock(connection, [StockCount("cup", "main", 50, counted_at)]) == [
            StockChange("cup", "main", 46, 46)
        ]
        # And one that found two more than the database has: the same file again changes nothing.
        for before in (46, 48):
            assert set_stock(connection, [StockCount("cup", "main", 52, counted_at)]) == [
                StockChange("cup", "main", before, 48)
            ]
    sell(shelf, works, 1)
    with engine.begin() as connection:
        assert set_stock(connection, [StockCount("cup", "main", 52, counted_at)]) == [
            StockChange("cup", "main", 47, 47)
        ]


def test_a_count_from_before_the_stock_was_set_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        stock_up(connection, 50)
        counted_at = now(connection)
    with engine.begin() as connection:
        set_stock(connection, [StockDelta("A", "main", 10)])

    error = refuse(engine, StockCount("A", "main", 50, counted_at))

    assert error.code == Code.STOCK_COUNT_OUTDATED
    assert error.detail["on_hand"] == 60
    assert str(error).startswith('"A" at "main" was set by hand since 20')


def test_a_sale_and_a_difference_at_once_both_count(engine: Engine) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5, reserved=2)
        (variant_id,) = connection.scalars(text("SELECT id FROM variants"))

    def change(*rows: StockRow | StockDelta) -> list[StockChange]:
        with engine.begin() as connection:
            return set_stock(connection, rows)

    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as sale:
            locks.lock_stock(sale, [variant_id])
            sale.execute(text("UPDATE stock_levels SET on_hand = on_hand - 2, reserved = reserved - 2"))
            more = pool.submit(change, StockDelta("A", "main", 10))
            wait_for_blocked(engine)
            outdated = pool.submit(change, StockRow("A", "main", 50, expected=5))
            wait_for_blocked(engine, 2)
        assert more.result(timeout=10) == [StockChange("A", "main", 3, 13)]
        with pytest.raises(StockRefused) as refused:
            outdated.result(timeout=10)

    assert refused.value.code == Code.STOCK_CHANGED
    with engine.begin() as connection:
        assert read_stock(connection) == [("A", "main", 13, 0, False)]


def test_a_count_and_a_sale_at_once_are_exact_whichever_comes_first(engine: Engine, shelf: Shelf, works: Works) -> None:
    # Given a checkout that waits for the stock's lock to sell its two units, and a count of 60 that waits for it too
    shelf.add_variant("cup", stock=50, price_minor=100)
    works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until="stock_commit")
    with engine.begin() as connection:
        counted_at = now(connection)
        (variant_id,) = connection.scalars(text("SELECT id FROM variants"))

    def count() -> None:
        with engine.begin() as connection:
            set_stock(connection, [StockCount("cup", "main", 60, counted_at)])

    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as first:
            locks.lock_stock(first, [variant_id])
            both = [pool.submit(works.pump), pool.submit(count)]
            wait_for_blocked(engine, 2)
        for one in both:
            one.result(timeout=10)

    assert shelf.stock("cup") == (58, 0)


def test_what_was_restocked_since_a_count_is_added_to_it(engine: Engine, shelf: Shelf, works: Works) -> None:
    shelf.add_variant("cup", stock=50, price_minor=100)
    works.start(shelf.add_cart(("cup", 4)), token="tok_ok")
    works.pump()
    with engine.begin() as connection:
        counted_at = now(connection)
        (order_id,) = connection.scalars(text("SELECT id FROM orders"))
    request = RestockRequest(lines=(PlacedUnits(line=1, quantity=3),))
    works.orders.request(order_id, None, request, actor="operator:ada", idempotency_key="k")
    works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    works.pump()
    with engine.begin() as connection:
        set_stock(connection, [StockCount("cup", "main", 60, counted_at)])
    assert shelf.stock("cup") == (62, 0)


def test_many_differences_at_once_add_up(engine: Engine) -> None:
    seed = 1900
    deltas = [random.Random(seed).randint(-3, 9) for _ in range(40)]
    with engine.begin() as connection:
        stock_up(connection, 200)

    def change(delta: int) -> None:
        with engine.begin() as connection:
            set_stock(connection, [StockDelta("A", "main", delta)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, deltas))

    with engine.begin() as connection:
        assert read_stock(connection) == [("A", "main", 200 + sum(deltas), 0, False)], f"seed {seed}"
        assert rows_of(connection, "SELECT sum(quantity) FROM stock_movements") == [(200 + sum(deltas),)]


@pytest.mark.parametrize("location", ["Main", " MAIN ", "main\u200b", "\uff2dain"])
def test_a_location_is_found_however_it_is_written(connection: Connection, location: str) -> None:
    stock_up(connection, 5)

    assert set_stock(connection, [StockDelta("A", location, 1)]) == [StockChange("A", "main", 5, 6)]
    assert rows_of(connection, "SELECT code FROM locations") == [("main",)]


@pytest.mark.parametrize(
    ("location", "hint"),
    [("mian", 'did you mean "main"?'), ("main 2", 'did you mean "main"?'), ("berlin", 'there is "main"')],
)
def test_an_unknown_location_is_refused_unless_it_is_to_be_created(engine: Engine, location: str, hint: str) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5)
        before = read_versions(connection)

    with pytest.raises(NotFound) as refused, engine.begin() as connection:
        set_stock(connection, [StockRow("A", location, 5)])

    assert refused.value.code == Code.LOCATION_UNKNOWN
    remedy = "correct it, or create it with --create (over HTTP, create_locations)."
    assert str(refused.value) == f'There is no location "{location}" ({hint}): {remedy}'
    with engine.begin() as connection:
        assert read_versions(connection) == before
        set_stock(connection, [StockRow("A", location, 7)], create_locations=True)
        assert sorted(row[1:3] for row in read_stock(connection)) == sorted([("main", 5), (location, 7)])


def test_a_location_is_one_in_every_spelling_from_every_writer(connection: Connection) -> None:
    connection.execute(text("INSERT INTO locations (code) VALUES (' Berlin\u200b')"))
    upsert_variants(connection, [VariantRow("A", "A")])

    assert set_stock(connection, [StockRow("A", "BERLIN", 1)]) == [StockChange("A", "berlin", 0, 1)]
    assert set_stock(connection, [StockRow("A", "\uff22erlin", 1)]) == [StockChange("A", "berlin", 1, 1)]


def test_skus_that_only_follow_their_policy_keep_their_units(connection: Connection) -> None:
    stock_up(connection, 5)
    upsert_variants(connection, [VariantRow("A", "A", backorder_policy="continue"), VariantRow("B", "B")])

    assert set_stock(connection, [StockRow("B", "main", 1)], following=["A"]) == [StockChange("B", "main", 0, 1)]

    assert read_stock(connection) == [("A", "main", 5, 0, True), ("B", "main", 1, 0, False)]
