"""The hash that PostgreSQL computes is Python's, and what is changed afterwards is found."""

from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from models.price_lock import PriceLockLineRecord, PriceLockRecord
from pipeline.audit.invariants.locks import find_forged
from pipeline.audit.price_lock_hash import DOUBTFUL
from pipeline.database.ids import ALL_IDS
from pipeline.pricing import Quote, freeze_quotes
from pipeline.pricing.terms import AppliedDiscount, AppliedTax, QuoteLine, QuoteShipping
from tests.integration.audit.plants import checkout_id

ID: Final = UUID("01900000-0000-7000-8000-000000000001")

#: All characters but those that no text of the database holds.
SPECIAL: Final = st.sampled_from('"\\/\b\t\n\f\r\x1f\x7f\u2028é😀')
TEXTS: Final = st.text(st.characters(codec="utf-8", exclude_characters="\x00") | SPECIAL, max_size=12)
AMOUNTS: Final = st.integers(-(2**63), 2**63 - 1)
WHOLE: Final = st.none() | st.booleans() | TEXTS | st.integers(-(10**30), 10**30)
#: What PostgreSQL writes in another way: Python verifies it.
OTHERS: Final = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(WHOLE, min_size=2, max_size=3)
    | st.dictionaries(TEXTS, WHOLE, min_size=1, max_size=3)
)
FLAT: Final = st.dictionaries(TEXTS, WHOLE, max_size=5)
DEEP: Final = st.dictionaries(TEXTS, WHOLE | OTHERS, max_size=5)
DISCOUNTS: Final = st.lists(
    st.builds(
        AppliedDiscount,
        text=TEXTS,
        amount_minor=AMOUNTS,
        promotion_id=st.none() | AMOUNTS,
        code=st.none() | TEXTS,
    ),
    max_size=3,
).map(tuple)
TAXES: Final = st.lists(st.builds(AppliedTax, name=TEXTS, rate=TEXTS, amount_minor=AMOUNTS), max_size=3).map(tuple)
APPLIED: Final[dict[str, Any]] = {"discounts": DISCOUNTS, "taxes": TAXES, "tax_included": st.booleans()}
SUMS: Final = dict.fromkeys(("subtotal_minor", "discount_minor", "tax_minor", "total_minor"), AMOUNTS)


def build_quotes(addresses: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Quote]:
    """Return quotes of random parts, whose amounts need not add up."""
    line = st.builds(
        QuoteLine,
        line=st.integers(1, 2**31 - 1),
        variant_id=AMOUNTS,
        sku=TEXTS,
        title=TEXTS,
        quantity=st.integers(1, 2**31 - 1),
        unit_price_minor=AMOUNTS,
        price_source=TEXTS,
        **SUMS,
        **APPLIED,
    )
    return st.builds(
        Quote,
        currency=st.sampled_from(["EUR", "JPY"]),
        lines=st.lists(line, max_size=3, unique_by=lambda each: each.line).map(
            lambda lines: tuple(sorted(lines, key=lambda each: each.line))
        ),
        shipping=st.none() | st.builds(QuoteShipping, title=TEXTS, **SUMS, **APPLIED),
        base_currency=st.none() | st.just("USD"),
        exchange_rate=st.none() | TEXTS,
        exchange_source=st.none() | TEXTS,
        exchange_at=st.none() | TEXTS,
        tax_id=st.none() | TEXTS,
        tax_id_validated=st.none() | addresses,
        rounding=TEXTS.filter(lambda each: each != "none"),
        shipping_address=addresses,
        billing_address=st.none() | addresses,
        shipping_minor=AMOUNTS,
        **SUMS,
    )


def is_doubtful(connection: Connection, quote: Quote) -> bool:
    """Store a quote alone; return whether PostgreSQL computes another hash."""
    connection.exec_driver_sql("DELETE FROM price_lock_lines; DELETE FROM price_locks")
    freeze_quotes(connection, {ID: quote})
    return connection.execute(DOUBTFUL, ALL_IDS.bound).scalars().all() == [ID]


def list_doubtful(connection: Connection) -> list[str]:
    """Return the doubtful ids as SQL writes them."""
    return [f"'{each}'" for each in connection.execute(DOUBTFUL, ALL_IDS.bound).scalars()]


@pytest.fixture
def unbound(connection: Connection) -> Connection:
    """A transaction past the constraints on amounts, which is never committed."""
    for table in ("price_locks", "price_lock_lines"):
        connection.execute(
            text(f"""
            DO $$ DECLARE name text; BEGIN
                FOR name IN SELECT conname FROM pg_constraint
                            WHERE conrelid = '{table}'::regclass AND contype = 'c' LOOP
                    EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', name);
                END LOOP;
            END $$""")
        )
    return connection


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(quote=build_quotes(FLAT))
def test_both_hash_any_quote_to_the_same(unbound: Connection, quote: Quote) -> None:
    assert not is_doubtful(unbound, quote)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(quote=build_quotes(DEEP))
def test_a_quote_that_is_written_in_another_way_is_verified(unbound: Connection, quote: Quote) -> None:
    is_doubtful(unbound, quote)
    assert list(find_forged(unbound)) == []


COLUMNS: Final = [
    (table.__tablename__, column.name)
    for table in (PriceLockRecord, PriceLockLineRecord)
    for column in table.__table__.columns
    if column.name not in {"checkout_id", "locked_at", "voided_at"}
]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_change_of_any_column_is_doubtful(unbound: Connection, table: str, column: str) -> None:
    kind = unbound.execute(
        text("SELECT data_type FROM information_schema.columns WHERE table_name = :table AND column_name = :column"),
        {"table": table, "column": column},
    ).scalar_one()
    other = {
        "text": f"coalesce({column}, '') || 'x'",
        "character": f"CASE WHEN {column} = 'XXX' THEN 'YYY' ELSE 'XXX' END",
        "boolean": f"NOT {column}",
        "jsonb": f"""CASE WHEN jsonb_typeof({column}) = 'array' THEN {column} || '[{{}}]' ELSE
                     coalesce({column}, '{{}}') || '{{"forged": null}}' END""",
    }.get(kind, f"{column} + 1")
    unbound.exec_driver_sql(f"UPDATE {table} SET {column} = {other} WHERE checkout_id = {checkout_id(1)}")
    assert list_doubtful(unbound) == [checkout_id(1)]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM price_lock_lines WHERE line = 1",
        "UPDATE price_lock_lines SET taxes = '7'",
        "UPDATE price_lock_lines SET taxes = '[7]'",
        "UPDATE price_lock_lines SET taxes = 'null'",
        """UPDATE price_lock_lines SET discounts = '{"a": 1}'""",
        "UPDATE price_locks SET shipping = '[]'",
        "UPDATE price_locks SET shipping_address = '[]'",
        "UPDATE price_locks SET hash = ''",
    ],
)
def test_nothing_that_is_malformed_is_left_out(unbound: Connection, change: str) -> None:
    unbound.exec_driver_sql(change)
    assert checkout_id(1) in list_doubtful(unbound)


def test_the_stored_hash_is_of_python(consistent: Engine) -> None:
    with consistent.connect() as connection:
        assert connection.execute(DOUBTFUL, ALL_IDS.bound).scalars().all() == []
        assert list(find_forged(connection)) == []
