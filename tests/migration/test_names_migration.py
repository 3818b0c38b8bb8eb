"""The migration that normalises names: every row keeps its meaning, and what cannot be kept is said."""

import logging
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from pipeline.database.migrations import migrate

BEFORE = "0007"


@pytest.fixture
def old(database_url: str) -> Iterator[Engine]:
    """A database of the release before."""
    server = make_url(database_url).set(drivername="postgresql+psycopg")
    name = f"names_{uuid4().hex[:8]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    engine = create_engine(server.set(database=name))
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    with engine.begin() as connection:
        migrate(connection, BEFORE)
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def read(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def upgrade(engine: Engine) -> None:
    with engine.begin() as connection:
        migrate(connection)


def test_rows_are_normalised_and_what_would_collide_is_told(old: Engine, caplog: pytest.LogCaptureFixture) -> None:
    # Given names as they could be written before
    run(
        old,
        "INSERT INTO variants (sku, title, category) VALUES"
        " ('cup', 'A', ' Books'), ('cup\u200b', 'B', ''), ('Pot ', 'C', NULL)",
        "INSERT INTO locations (code) VALUES ('main'), ('Main'), ('Berlin ')",
        "INSERT INTO promotions (title, kind, percent, skus, categories)"
        " VALUES ('P', 'percentage', 5, '{\"Pot \"}', '{BOOKS}')",
        "INSERT INTO coupons (code, promotion_id)"
        " SELECT c, id FROM promotions, unnest('{STRASSE,STRAßE,SUMMER 10}'::text[]) c",
        "INSERT INTO tax_rates (country, region, category, name, rate, valid_from) VALUES"
        " ('UK', NULL, 'Books', 'VAT', 0.05, '2026-01-01'), ('US', 'California', NULL, 'State', 0.07, '2026-01-01'),"
        " ('DE', NULL, NULL, 'VAT', 0.19, '2026-01-01'), ('DE', NULL, NULL, 'vat ', 0.19, '2026-01-01'),"
        " ('FR', NULL, NULL, 'VAT', 0.19, '2025-01-01'), ('FR', NULL, NULL, 'Vat', 0.2, '2026-01-01')",
    )
    # When
    with caplog.at_level(logging.WARNING, "alembic.runtime.migration"):
        upgrade(old)
    # Then
    assert read(old, "SELECT sku, category FROM variants ORDER BY id") == [
        ("cup", "books"),
        ("cup-2", None),
        ("Pot", None),
    ]
    assert read(old, "SELECT code FROM locations ORDER BY id") == [("main",), ("main-2",), ("berlin",)]
    assert read(old, "SELECT skus, categories FROM promotions") == [(["Pot"], ["books"])]
    assert read(old, "SELECT code FROM coupons ORDER BY 1") == [("STRASSE",), ("STRASSE-2",), ("SUMMER10",)]
    assert read(
        old,
        "SELECT country, region, name, rate::text, valid_until::date::text FROM tax_rates ORDER BY country, valid_from",
    ) == [
        ("DE", None, "VAT", "0.190000", None),
        ("FR", None, "VAT", "0.190000", "2026-01-01"),
        ("FR", None, "Vat", "0.200000", None),
        ("GB", None, "VAT", "0.050000", None),
        ("US", "CA", "State", "0.070000", None),
    ]
    told = caplog.text
    for part in (
        "'cup\\u200b'",
        "'Main'",
        "'STRAßE'",
        "UK is no country",
        "'California' of US",
        "it is left out",
        "ends where",
    ):
        assert part in told
    assert told.count("WARNING") == 7


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("('US', 'Kalifornien', 'State', 0.07)", "'Kalifornien' of US"),
        ("('DE', NULL, 'VAT', 0.19), ('DE', NULL, 'vat', 0.07)", "two rates for one tax from one moment"),
    ],
)
def test_what_only_a_person_can_decide_stops_it_and_changes_nothing(old: Engine, rows: str, sentence: str) -> None:
    run(old, f"INSERT INTO tax_rates (country, region, name, rate) VALUES {rows}")
    before = read(old, "SELECT to_jsonb(t)::text FROM tax_rates t ORDER BY id")
    with pytest.raises(RuntimeError, match=sentence):
        upgrade(old)
    assert read(old, "SELECT to_jsonb(t)::text FROM tax_rates t ORDER BY id") == before
    assert read(old, "SELECT version_num FROM alembic_version") == [(BEFORE,)]


def test_a_coupon_keeps_its_redemptions(old: Engine) -> None:
    run(
        old,
        "INSERT INTO promotions (title, kind, percent) VALUES ('P', 'percentage', 5)",
        "INSERT INTO coupons (code, promotion_id, used) SELECT 'SUMMER 10', id, 2 FROM promotions",
        "INSERT INTO carts (id, currency) SELECT gen_random_uuid(), 'EUR' FROM generate_series(1, 2)",
        "INSERT INTO checkouts (id, cart_id, owner, currency, straight_through, expires_at)"
        " SELECT id, id, 'o', 'EUR', true, now() FROM carts",
        "INSERT INTO redemptions (checkout_id, code, customer)"
        " SELECT id, 'SUMMER 10', CASE row_number() OVER () WHEN 1 THEN 'Ada' ELSE 'ADA ' END FROM checkouts",
    )
    upgrade(old)
    assert read(old, "SELECT code, customer FROM redemptions") == [("SUMMER10", "ada")] * 2
    assert read(old, "SELECT code, used FROM coupons") == [("SUMMER10", 2)]
