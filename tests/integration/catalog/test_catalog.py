"""Variants and prices on a real database, set by the thousand and by two at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, event, text

from pipeline.catalog import PriceChanges, PriceRow, StockRow, VariantRow, set_prices, set_stock, upsert_variants
from pipeline.catalog.stock_rows import StockDelta
from pipeline.errors import Code, NotFound
from tests.integration.catalog.stockroom import read_versions, rows_of, wait_for_blocked


def test_variants_are_created_and_their_ids_returned(connection: Connection) -> None:
    ids = upsert_variants(
        connection,
        [
            VariantRow("B", "Bowl", "Kitchen", "continue", active=False),
            VariantRow("A", "Apron"),
        ],
    )

    assert rows_of(connection, "SELECT sku, title, category, backorder_policy, active FROM variants ORDER BY sku") == [
        ("A", "Apron", None, "deny", True),
        ("B", "Bowl", "kitchen", "continue", False),
    ]
    assert rows_of(connection, "SELECT sku, id FROM variants ORDER BY sku") == [("A", ids["A"]), ("B", ids["B"])]


def test_a_variant_that_changed_is_updated_and_the_others_are_not_written(engine: Engine) -> None:
    with engine.begin() as connection:
        ids = upsert_variants(connection, [VariantRow("A", "Apron"), VariantRow("B", "Bowl")])
        before = read_versions(connection)

    with engine.begin() as connection:
        again = upsert_variants(connection, [VariantRow("B", "Big bowl"), VariantRow("A", "Apron")])
        after = read_versions(connection)

        assert again == ids
        assert [new == old for new, old in zip(after, before, strict=True)] == [True, False]
        assert rows_of(connection, "SELECT title FROM variants ORDER BY sku") == [("Apron",), ("Big bowl",)]


def test_one_sku_twice_in_a_call_is_a_mistake_and_writes_nothing(connection: Connection) -> None:
    with pytest.raises(ValueError, match="'A' is given twice"):
        upsert_variants(connection, [VariantRow("A", "Apron"), VariantRow("A", "Apple")])

    assert rows_of(connection, "SELECT count(*) FROM variants") == [(0,)]


def test_no_rows_are_no_work(connection: Connection) -> None:
    assert upsert_variants(connection, []) == {}
    assert set_prices(connection, []) == PriceChanges()
    assert set_stock(connection, []) == []


def test_a_new_price_ends_the_one_before_and_an_unchanged_one_writes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        upsert_variants(connection, [VariantRow("A", "Apron"), VariantRow("B", "Bowl")])
        assert set_prices(connection, [PriceRow("A", "EUR", 1000), PriceRow("B", "EUR", 500)]).changed == 2
        assert set_prices(connection, [PriceRow("A", "USD", 1100)]).changed == 1

    with engine.begin() as connection:
        changed = set_prices(connection, [PriceRow("A", "EUR", 900), PriceRow("B", "EUR", 500)]).changed

        assert changed == 1
        assert rows_of(
            connection,
            "SELECT v.sku, p.currency, p.amount_minor, p.valid_until IS NULL, coalesce(p.valid_until = now(), false)"
            " FROM prices p JOIN variants v ON v.id = p.variant_id ORDER BY p.id",
        ) == [
            ("A", "EUR", 1000, False, True),
            ("B", "EUR", 500, True, False),
            ("A", "USD", 1100, True, False),
            ("A", "EUR", 900, True, False),
        ]
        assert rows_of(connection, "SELECT count(*) FROM prices WHERE valid_from = now()") == [(1,)]


def test_a_price_set_twice_in_one_transaction_is_one_row(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "Apron")])
    set_prices(connection, [PriceRow("A", "EUR", 1000)])

    assert set_prices(connection, [PriceRow("A", "EUR", 900)]).changed == 1

    assert rows_of(connection, "SELECT amount_minor, valid_until FROM prices") == [(900, None)]


def test_a_price_planned_for_later_stays(engine: Engine) -> None:
    with engine.begin() as connection:
        upsert_variants(connection, [VariantRow("A", "Apron")])
        connection.execute(
            text(
                "INSERT INTO prices (variant_id, currency, amount_minor, valid_from)"
                " SELECT id, 'EUR', 700, now() + interval '1 day' FROM variants"
            )
        )

    with engine.begin() as connection:
        assert set_prices(connection, [PriceRow("A", "EUR", 700)]).changed == 1

        assert rows_of(
            connection, "SELECT amount_minor, valid_until, valid_from = now() FROM prices ORDER BY valid_from"
        ) == [(700, None, True), (700, None, False)]


def test_a_price_for_an_unknown_sku_is_refused_and_nothing_changes(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "Apron")])

    with pytest.raises(NotFound) as refused:
        set_prices(connection, [PriceRow("A", "EUR", 1000), PriceRow("X", "EUR", 1000)])

    assert (refused.value.code, refused.value.detail) == (Code.SKU_UNKNOWN, {"sku": "X"})
    assert rows_of(connection, "SELECT count(*) FROM prices") == [(0,)]


def test_1500_variants_take_as_many_statements_as_one(engine: Engine) -> None:
    def count(size: int) -> int:
        statements: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            statements.append(statement)

        skus = [f"{size}-{number}" for number in range(size)]
        event.listen(engine, "before_cursor_execute", note)
        try:
            with engine.begin() as connection:
                upsert_variants(connection, [VariantRow(sku, sku) for sku in skus])
                set_prices(connection, [PriceRow(sku, "EUR", 100) for sku in skus])
                set_stock(connection, [StockRow(sku, "main", 10) for sku in skus])
        finally:
            event.remove(engine, "before_cursor_execute", note)
        return len(statements)

    with engine.begin() as connection:
        upsert_variants(connection, [VariantRow("first", "First")])
        set_stock(connection, [StockRow("first", "main", 0)])

    assert count(1) == count(1500) == 14
    with engine.begin() as connection:
        assert rows_of(connection, "SELECT count(*), sum(on_hand) FROM stock_levels") == [(1502, 15_010)]
        assert rows_of(connection, "SELECT kind, count(*) FROM stock_movements GROUP BY kind") == [("receive", 1501)]


def test_opposite_orders_at_once_do_not_deadlock(engine: Engine) -> None:
    skus = [f"S{number:02}" for number in range(9)]

    def set_all(order: list[str], amount: int) -> None:
        with engine.begin() as connection:
            upsert_variants(connection, [VariantRow(sku, str(amount)) for sku in order])
            set_prices(connection, [PriceRow(sku, "EUR", amount) for sku in order])
            set_stock(connection, [StockDelta(sku, "main", amount) for sku in order])

    set_all(skus, 1)
    # Given two callers that need all rows, from either end, and both wait for one in the middle
    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as connection:
            connection.execute(text("UPDATE variants SET title = 'held' WHERE sku = 'S04'"))
            both = [pool.submit(set_all, skus, 2), pool.submit(set_all, skus[::-1], 3)]
            wait_for_blocked(engine, 2)
        for one in both:
            one.result(timeout=10)

    with engine.begin() as connection:
        assert rows_of(
            connection,
            "SELECT count(*) FROM stock_levels s WHERE on_hand = (SELECT sum(quantity) FROM stock_movements m"
            " WHERE (m.variant_id, m.location_id) = (s.variant_id, s.location_id))",
        ) == [(9,)]
        assert rows_of(connection, "SELECT count(DISTINCT on_hand) FROM stock_levels") == [(1,)]
