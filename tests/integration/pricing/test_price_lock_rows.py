"""The price lock: every amount, text and rate of a quote, written once, copied to the order, never changed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from models.guards import APPEND_ONLY
from models.order import OrderLineRecord, OrderRecord
from models.price_lock import PriceLockLineRecord, PriceLockRecord
from models.states import PromotionKind
from pipeline.pricing.quote import hash_quote, price_order
from pipeline.pricing.storage import freeze_quotes, read_quotes
from pipeline.pricing.terms import ExchangeRate, Goods, Order, Promotion, Shipping, TaxRate
from pipeline.settings import TaxRounding
from tests.integration.checkouts.test_guards import refuse
from tests.support.harness import ADDRESS, Shelf, Works
from tests.support.workbench import read_bank, take_snapshot

BILLING = {"name": "Ada & Söhne", "lines": ["1", {"deep": None}], "geo": 51.5, "whole": 1.0, "large": 1e20, "no": -0.0}


def start(works: Works, shelf: Shelf, token: str | None = None) -> UUID:
    """Start a checkout whose price lock has something in every column."""
    shelf.add_variant("cup", stock=9, price_minor=1000, tax_included=False)
    shelf.add_tax("0.2")
    shelf.add_rate("EUR", "USD", "1.1", observed_at=datetime.now(UTC) - timedelta(hours=1))
    shelf.add_coupon("TEN", limit=1)
    cart_id = shelf.add_cart(
        ("cup", 2),
        ("cup", 1, 500),
        currency="USD",
        billing_address=BILLING,
        tax_id="GB980780684",
        tax_id_validated={"source": "VIES", "at": "2026-11-28T15:00:00Z"},
        coupon_codes=["TEN"],
        customer="ada",
        shipping_minor=400,
        shipping_title="Courier",
        shipping_tax_included=False,
    )
    checkout_id = works.start(cart_id, token=token)
    works.pump()
    return checkout_id


#: 2 x 11.00 and 5.00, less 2.70, on top of the first line and in the price of the second 20 %, postage 4.00 and tax.
TOTAL = 2376 + 450 + 480


COLUMNS = [
    (table.__tablename__, column.name)
    for table in (PriceLockRecord, PriceLockLineRecord)
    for column in table.__table__.columns
    if column.name != "voided_at"
]


def test_everything_is_in_the_price_lock(works: Works, shelf: Shelf) -> None:
    # When
    checkout_id = start(works, shelf)
    # Then
    assert works.status(checkout_id).total_minor == TOTAL
    empty = "SELECT key FROM {0} t, jsonb_each(to_jsonb(t)) WHERE value IN ('null', '[]', '{{}}')".format
    assert shelf.rows(empty("price_locks")) == [("voided_at",)]
    assert shelf.rows(empty("price_lock_lines")) == []


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_no_column_of_a_price_lock_can_be_changed(
    works: Works, shelf: Shelf, engine: Engine, table: str, column: str
) -> None:
    # Given a lock with a value in each column
    start(works, shelf)
    before = take_snapshot(engine)
    # When, then
    assert refuse(shelf, f"UPDATE {table} SET {column} = NULL") == APPEND_ONLY
    if table == "price_locks":
        assert refuse(shelf, f"UPDATE price_locks SET {column} = NULL, voided_at = now()") == APPEND_ONLY
    assert take_snapshot(engine) == before


@pytest.mark.parametrize(
    ("lock", "order", "key", "own"),
    [
        (
            PriceLockRecord,
            OrderRecord,
            "checkout_id",
            {
                "base_currency",
                "exchange_at",
                "exchange_rate",
                "exchange_source",
                "hash",
                "locked_at",
                "rounding",
                "tax_id",
                "tax_id_validated",
                "voided_at",
            },
        ),
        (PriceLockLineRecord, OrderLineRecord, "line", {"checkout_id", "price_source"}),
    ],
    ids=["order", "lines"],
)
def test_an_order_copies_every_column(
    works: Works, shelf: Shelf, engine: Engine, lock: Any, order: Any, key: str, own: set[str]
) -> None:
    # Given what a lock has of its own
    shared = {column.name for column in lock.__table__.columns} & {column.name for column in order.__table__.columns}
    assert {column.name for column in lock.__table__.columns} - shared == own
    # When
    checkout_id = start(works, shelf, token="tok_ok")
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(engine, checkout_id).captured_minor == TOTAL
    read = "SELECT to_jsonb(t) FROM {} t ORDER BY {}".format
    locked = [row for (row,) in shelf.rows(read(lock.__tablename__, key))]
    ordered = [row for (row,) in shelf.rows(read(order.__tablename__, key))]
    assert len(locked) == len(ordered) > 0
    for one, other in zip(locked, ordered, strict=True):
        assert {name: one[name] for name in shared} == {name: other[name] for name in shared}


def test_nothing_that_changes_later_moves_what_is_frozen(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    checkout_id = start(works, shelf)
    with engine.connect() as connection:
        frozen = read_quotes(connection, [checkout_id])
    # When everything that a price is made from changes
    for sql in (
        "UPDATE prices SET amount_minor = 1",
        "UPDATE variants SET title = 'Mug', active = false, category = 'other'",
        "UPDATE promotions SET title = 'Gone', percent = 90, active = false",
        "UPDATE coupons SET usage_limit = 1, per_customer_limit = 0",
        "UPDATE tax_rates SET rate = 0.5, name = 'GST'",
        "UPDATE exchange_rates SET rate = 2, source = 'guess'",
    ):
        assert shelf.run(sql) > 0
    works.pay(checkout_id, expected_total_minor=TOTAL)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    with engine.connect() as connection:
        assert read_quotes(connection, [checkout_id]) == frozen
    assert read_bank(engine, checkout_id).captured_minor == TOTAL
    assert (
        shelf.rows("SELECT title, discounts -> 0 ->> 'text', taxes -> 0 ->> 'rate' FROM order_lines")
        == [("The cup", "Ten off", "0.2")] * 2
    )


def make_order(**changes: Any) -> Order:
    """Make an order with a promotion, taxes, shipping, a rate, and an address of all kinds of values."""
    goods = [
        Goods(line, 1, "cup", title, category, quantity, unit, included, "list")
        for line, title, category, quantity, unit, included in (
            (3, 'Cup "A" 💐', None, 3, 333, True),
            (1, "Cup", "books", 1, 1, True),
            (2, "Cup", "books", 7, 101, False),
        )
    ]
    whole: dict[str, Any] = {
        "currency": "USD",
        "goods": tuple(goods),
        "shipping": Shipping("Courier", 500, tax_included=True),
        "promotions": (Promotion(7, "Ten off", PromotionKind.PERCENTAGE, percent=Decimal("12.5"), code="TEN"),),
        "tax_rates": (
            TaxRate("VAT", Decimal("0.200"), reverse_charge=True),
            TaxRate("VAT", Decimal("0.05"), category="books"),
            TaxRate("City", Decimal("0.00375"), region="NY"),
        ),
        "tax_id": "GB980780684",
        "tax_id_validated": {"source": "VIES", "at": "2026-11-28T15:00:00Z"},
        "exchange": ExchangeRate("EUR", "USD", Decimal("1.1000"), "ECB", datetime(2026, 3, 2, 15, tzinfo=UTC)),
        "shipping_address": dict(ADDRESS),
        "billing_address": BILLING,
    }
    return Order(**whole | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tax_rounding": TaxRounding.ORDER},
        {
            "shipping": None,
            "exchange": None,
            "tax_id": None,
            "tax_id_validated": None,
            "billing_address": None,
            "promotions": (),
        },
        {"goods": (Goods(1, 1, "cup", "Cup", None, 1, 0, tax_included=True, price_source="external"),)},
    ],
    ids=["all", "rounded by order", "bare", "nothing to pay for goods"],
)
def test_what_is_read_is_the_quote_that_was_frozen(
    works: Works, shelf: Shelf, engine: Engine, changes: dict[str, Any]
) -> None:
    # Given a checkout before its lock
    shelf.add_variant("cup", stock=9)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    quote = price_order(make_order(**changes))
    with engine.connect() as connection, connection.begin() as transaction:
        # The variant of the quote is not of this catalog: no foreign key is to look.
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        # When
        freeze_quotes(connection, {checkout_id: quote})
        # Then
        assert read_quotes(connection, [checkout_id]) == {checkout_id: (quote, hash_quote(quote))}
        assert hash_quote(read_quotes(connection, [checkout_id])[checkout_id][0]) == hash_quote(quote)
        transaction.rollback()


def test_there_is_no_quote_of_what_is_not_locked(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump(until="price_lock")
    # When, then
    with engine.connect() as connection:
        assert read_quotes(connection, [checkout_id]) == {}
        assert read_quotes(connection, []) == {}
