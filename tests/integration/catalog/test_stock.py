"""Stock on a real database: the ledger is right, reserved units stay covered, and races end well."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from pipeline.catalog import StockRow, VariantRow, set_stock, upsert_variants
from pipeline.catalog.stock_rows import Shortfall, StockChange, StockRefused
from pipeline.checkouts import locks
from pipeline.errors import Code, NotFound
from tests.integration.catalog.stockroom import read_stock, read_versions, rows_of, stock_up, wait_for_blocked


def read_ledger(connection: Connection) -> list[tuple[Any, ...]]:
    return rows_of(connection, "SELECT kind, quantity FROM stock_movements ORDER BY id")


def test_first_stock_is_received_and_later_differences_are_adjusted(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A")])

    changes = [
        change
        for quantity, expected in ((5, None), (8, 5), (8, None), (2, 8))
        for change in set_stock(connection, [StockRow("A", "main", quantity, expected)])
    ]

    assert changes == [
        StockChange("A", "main", 0, 5),
        StockChange("A", "main", 5, 8),
        StockChange("A", "main", 8, 8),
        StockChange("A", "main", 8, 2),
    ]
    assert read_ledger(connection) == [("receive", 5), ("adjust", 3), ("adjust", -6)]
    assert read_stock(connection) == [("A", "main", 2, 0, False)]


def test_a_first_stock_of_none_makes_the_level_and_no_movement(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A")])

    set_stock(connection, [StockRow("A", "main", 0)])
    set_stock(connection, [StockRow("A", "main", 4, expected=0)])

    assert read_stock(connection) == [("A", "main", 4, 0, False)]
    assert read_ledger(connection) == [("adjust", 4)]


def test_a_backorder_that_starts_below_zero_is_an_adjustment(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A", backorder_policy="continue")])

    set_stock(connection, [StockRow("A", "main", -3)])

    assert read_stock(connection) == [("A", "main", -3, 0, True)]
    assert read_ledger(connection) == [("adjust", -3)]


def test_a_policy_reaches_the_levels_of_every_location(connection: Connection) -> None:
    stock_up(connection, 5)
    set_stock(connection, [StockRow("A", "shop", 2)], create_locations=True)

    upsert_variants(connection, [VariantRow("A", "A", backorder_policy="continue")])
    set_stock(connection, [StockRow("A", "shop", 2)])

    assert read_stock(connection) == [("A", "main", 5, 0, True), ("A", "shop", 2, 0, True)]
    assert read_ledger(connection) == [("receive", 5), ("receive", 2)]


@pytest.mark.parametrize(
    ("_case", "policy", "quantity", "reserved"),
    [("one too few", "deny", 2, 3), ("below zero", "deny", -1, 0), ("none left", "deny", 0, 3)],
)
def test_stock_below_what_is_reserved_is_refused_and_nothing_changes(
    engine: Engine, *, _case: str, policy: str, quantity: int, reserved: int
) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5, policy=policy, reserved=reserved)
        upsert_variants(connection, [VariantRow("B", "B")])
        before = read_versions(connection)

    # When the caller continues after the refusal and commits
    with engine.begin() as connection, pytest.raises(StockRefused) as refused:
        set_stock(
            connection,
            [StockRow("B", "main", 9), StockRow("A", "main", quantity, expected=5), StockRow("A", "shop", 1)],
            create_locations=True,
        )

    assert refused.value.code == Code.STOCK_RESERVED
    assert refused.value.objections == (Shortfall("A", "main", reserved, quantity),)
    with engine.begin() as connection:
        assert read_versions(connection) == before


def test_stock_down_to_exactly_what_is_reserved_is_set(connection: Connection) -> None:
    stock_up(connection, 5, reserved=3)

    set_stock(connection, [StockRow("A", "main", 3, expected=5)])

    assert read_stock(connection) == [("A", "main", 3, 3, False)]


def test_a_backorderable_variant_may_have_less_than_is_reserved(connection: Connection) -> None:
    stock_up(connection, 5, policy="continue", reserved=3)

    set_stock(connection, [StockRow("A", "main", 1, expected=5)])

    assert read_stock(connection) == [("A", "main", 1, 3, True)]


def test_a_policy_cannot_become_deny_while_more_is_reserved_than_on_hand(connection: Connection) -> None:
    stock_up(connection, 1, policy="continue", reserved=3)
    upsert_variants(connection, [VariantRow("A", "A", backorder_policy="deny")])

    with pytest.raises(StockRefused) as refused:
        set_stock(connection, [StockRow("A", "shop", 9)], create_locations=True)

    assert refused.value.code == Code.STOCK_OVERSOLD
    assert refused.value.objections == (Shortfall("A", "main", 3, 1, is_requested=False),)
    # A refusal about another location does not read as if the caller had named it.
    assert str(refused.value) == 'The policy of "A" cannot be deny: elsewhere 3 are held of 1: receive more there.'
    assert read_stock(connection) == [("A", "main", 1, 3, True)]


def test_stock_of_an_unknown_sku_is_refused_and_nothing_changes(connection: Connection) -> None:
    stock_up(connection, 5)

    with pytest.raises(NotFound) as refused:
        set_stock(connection, [StockRow("A", "new place", 9), StockRow("X", "main", 1)], create_locations=True)

    assert str(refused.value) == 'There is no variant with the SKU "X": import it first, or check the spelling.'
    assert read_stock(connection) == [("A", "main", 5, 0, False)]
    assert rows_of(connection, "SELECT code FROM locations") == [("main",)]


def set_in_own_transaction(engine: Engine, *rows: StockRow) -> list[StockChange]:
    with engine.begin() as connection:
        return set_stock(connection, rows, create_locations=True)


@pytest.mark.parametrize("location", ["main", "new place"])
def test_two_first_stocks_at_once_make_one_level_and_a_true_ledger(engine: Engine, location: str) -> None:
    with engine.begin() as connection:
        upsert_variants(connection, [VariantRow("A", "A"), VariantRow("B", "B")])
        set_stock(connection, [StockRow("B", "main", 0)])

    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as first:
            set_stock(first, [StockRow("A", location, 5)], create_locations=True)
            second = pool.submit(set_in_own_transaction, engine, StockRow("A", location, 8, expected=5))
            wait_for_blocked(engine)
        changes = second.result(timeout=10)

    assert changes == [StockChange("A", location, 5, 8)]
    with engine.begin() as connection:
        assert read_stock(connection) == [("A", location, 8, 0, False), ("B", "main", 0, 0, False)]
        assert read_ledger(connection) == [("receive", 5), ("adjust", 3)]


def test_units_reserved_while_stock_waits_for_the_row_lock_are_seen(engine: Engine) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5)
        (variant_id,) = connection.scalars(text("SELECT id FROM variants"))

    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as checkout:
            locks.lock_stock(checkout, [variant_id])
            setting = pool.submit(set_in_own_transaction, engine, StockRow("A", "main", 3, expected=5))
            wait_for_blocked(engine)
            checkout.execute(text("UPDATE stock_levels SET reserved = 4"))
        with pytest.raises(StockRefused) as refused:
            setting.result(timeout=10)

    assert refused.value.objections == (Shortfall("A", "main", 4, 3),)
    with engine.begin() as connection:
        assert read_stock(connection) == [("A", "main", 5, 4, False)]
        assert read_ledger(connection) == [("receive", 5)]
