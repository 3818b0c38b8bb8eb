"""Batches of the catalog: once for each key, whoever sends them at once, and beside sales."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from pipeline.audit import audit
from pipeline.catalog.batches import CatalogService, WrittenBatch
from pipeline.catalog.batches.forms import AnyBatch, PriceBatch, StockBatch, TransferBatch, VariantBatch
from pipeline.database import TransactionRunner
from pipeline.errors import CheckoutError, Code, Conflict
from pipeline.settings import Settings
from tests.integration.catalog.stockroom import wait_for_blocked
from tests.support.harness import Shelf, Works

LEVEL: Final = {"sku": "cup", "location": "main"}

Write = Callable[..., WrittenBatch]


@pytest.fixture
def write(engine: Engine) -> Write:
    """Write a batch; its key is a new one, if none is given."""
    service = CatalogService(TransactionRunner(engine))

    def work(batch: AnyBatch, *, key: str | None = None, owner: str = "erp") -> WrittenBatch:
        return service.write(batch, owner=owner, actor="key:k", idempotency_key=key or str(uuid4()))

    return work


def stock(*rows: dict[str, Any], **others: Any) -> StockBatch:
    return StockBatch.model_validate({"rows": [{**LEVEL, **row} for row in rows], **others})


def test_one_of_two_who_have_seen_the_same_sets_it(engine: Engine, shelf: Shelf, write: Write) -> None:
    shelf.add_variant("cup", stock=10)

    def count(units: int) -> WrittenBatch:
        return write(stock({"set": units, "expected": 10}))

    with engine.begin() as connection, ThreadPoolExecutor(2) as pool:
        # Both wait for the row of the stock level, and one of them finds what the other has set.
        connection.exec_driver_sql("SELECT FROM stock_levels FOR UPDATE")
        both = [pool.submit(count, units) for units in (12, 13)]
        wait_for_blocked(engine, 2)
        connection.commit()
    done = [each.result() for each in both]
    assert sorted(each.done for each in done) == [0, 1]
    [refusal] = [each.refusal for each in done if each.refusal is not None]
    on_hand = shelf.stock("cup")[0]
    assert on_hand in {12, 13}
    assert (refusal.code, refusal.detail["on_hand"], refusal.detail["expected"]) == (Code.STOCK_CHANGED, on_hand, 10)
    assert shelf.rows("SELECT count(*) FROM catalog_changes") == [(1,)]


def test_one_batch_that_is_sent_by_two_at_once_is_done_once(engine: Engine, shelf: Shelf, write: Write) -> None:
    shelf.add_variant("cup", stock=10)
    with engine.begin() as connection, ThreadPoolExecutor(2) as pool:
        connection.exec_driver_sql("SELECT FROM stock_levels FOR UPDATE")
        both = [pool.submit(write, stock({"delta": 5}), key="k") for _ in range(2)]
        wait_for_blocked(engine, 2)
        connection.commit()
    done = [each.result() for each in both]
    assert sorted(each.created for each in done) == [False, True]
    assert done[0].results == done[1].results
    assert shelf.stock("cup") == (15, 0)
    with pytest.raises(Conflict) as refused:
        write(stock({"delta": 6}), key="k")
    assert refused.value.code is Code.KEY_CONFLICT


def test_two_windows_at_once_do_not_overlap(engine: Engine, shelf: Shelf, write: Write) -> None:
    shelf.add_variant("cup", price_minor=500)

    def price(begins: str, ends: str) -> WrittenBatch:
        row = {"sku": "cup", "currency": "EUR", "amount_minor": 400, "valid_from": begins, "valid_until": ends}
        return write(PriceBatch.model_validate({"rows": [row]}))

    with engine.begin() as connection, ThreadPoolExecutor(2) as pool:
        connection.exec_driver_sql("SELECT FROM variants FOR UPDATE")
        times = [
            ("2100-01-01T00:00:00Z", "2100-01-03T00:00:00Z"),
            ("2100-01-02T00:00:00Z", "2100-01-04T00:00:00Z"),
        ]
        both = [pool.submit(price, *each) for each in times]
        wait_for_blocked(engine, 2)
        connection.commit()
    done = [each.result() for each in both]
    assert sorted(each.done for each in done) == [0, 1]
    assert [each.refusal.code for each in done if each.refusal is not None] == [Code.PRICE_OVERLAPS]
    assert shelf.rows("SELECT count(*) FROM prices WHERE valid_until IS NOT NULL") == [(1,)]


def test_warehouses_and_sales_at_once_lose_nothing(
    engine: Engine, shelf: Shelf, works: Works, settings: Settings, write: Write
) -> None:
    shelf.add_variant("cup", stock=100, price_minor=500)
    for _ in range(20):
        works.start(shelf.add_cart(("cup", 1)), token="tok_ok")

    def deliver(_: int) -> int:
        return write(stock({"delta": 3})).done * 3

    def count(_: int) -> int:
        """Set two more than was seen; a sale or a delivery in between is told, and nothing is set."""
        seen = shelf.stock("cup")[0]
        written = write(stock({"set": seen + 2, "expected": seen}))
        assert written.done or (written.refusal is not None and written.refusal.code is Code.STOCK_CHANGED)
        return written.done * 2

    with ThreadPoolExecutor(3) as pool:
        added = [*(pool.submit(deliver, n) for n in range(30)), *(pool.submit(count, n) for n in range(30))]
        works.pump()
        more = sum(each.result() for each in added)
    assert shelf.stock("cup") == (100 + more - 20, 0)
    assert shelf.rows("SELECT sum(quantity) FROM stock_movements WHERE kind IN ('receive', 'adjust', 'sell')") == [
        (100 + more - 20,)
    ]
    with engine.connect() as connection:
        assert audit(connection, settings) == []


def test_a_thousand_rows_with_one_bad_one(shelf: Shelf, write: Write) -> None:
    rows: list[dict[str, Any]] = [{"sku": f"v-{n}", "title": f"Variant {n}"} for n in range(1000)]
    rows[500]["title"] = ""
    made = write(VariantBatch.model_validate({"rows": rows}))
    assert (made.done, len(made.results)) == (999, 1000)
    assert made.results[500]["failure"]["code"] == "request_invalid"
    units = [{"sku": f"v-{n}", "location": "main", "delta": n + 1} for n in range(1000)]
    stocked = write(StockBatch.model_validate({"rows": units}))
    assert stocked.results[500]["failure"]["code"] == "sku_unknown"
    assert shelf.rows("SELECT count(*), sum(on_hand) FROM stock_levels") == [(999, 500_500 - 501)]
    assert shelf.rows("SELECT count(DISTINCT change_id) FROM stock_movements") == [(1,)]


def test_a_transfer_moves_held_units_of_nobody(shelf: Shelf, works: Works, write: Write) -> None:
    shelf.add_variant("cup", stock=5, price_minor=500)
    works.start(shelf.add_cart(("cup", 4)))
    works.pump()

    def move(units: int) -> WrittenBatch:
        row = {"sku": "cup", "from_location": "main", "to_location": "store", "quantity": units}
        return write(TransferBatch.model_validate({"rows": [row], "create_locations": True}))

    refusal = move(2).refusal
    assert isinstance(refusal, CheckoutError)
    assert (refusal.code, refusal.detail["reserved"]) == (Code.STOCK_RESERVED, 4)
    assert shelf.rows("SELECT count(*) FROM locations") == [(1,)]
    assert move(1).done == 1
    assert shelf.rows("SELECT on_hand, reserved FROM stock_levels ORDER BY location_id") == [(4, 4), (1, 0)]
