"""The schema itself normalises names and refuses invalid ones, from any client."""

import pytest
from sqlalchemy.exc import IntegrityError

from tests.support.harness import Shelf


def test_names_that_plain_sql_writes_are_normalised(shelf: Shelf) -> None:
    shelf.run("INSERT INTO variants (sku, title, category) VALUES ('Pot ', 'C', ' Books'), ('cup\u200b', 'B', '')")
    shelf.run("INSERT INTO locations (code) VALUES ('Berlin ')")
    shelf.run(
        "INSERT INTO promotions (title, kind, percent, skus, categories)"
        " VALUES ('P', 'percentage', 5, '{\"Pot \"}', '{BOOKS}')"
    )
    shelf.run("INSERT INTO tax_rates (country, region, name, rate) VALUES ('us', ' ca', 'State\u200b', 0.07)")
    shelf.run("INSERT INTO coupons (code, promotion_id) SELECT 'summer 10', id FROM promotions")
    assert shelf.rows("SELECT sku, category FROM variants ORDER BY id") == [("Pot", "books"), ("cup", None)]
    assert shelf.rows("SELECT code FROM locations") == [("berlin",)]
    assert shelf.rows("SELECT skus, categories FROM promotions") == [(["Pot"], ["books"])]
    assert shelf.rows("SELECT country, region, name, name_key FROM tax_rates") == [("US", "CA", "State", "state")]
    assert shelf.rows("SELECT code FROM coupons") == [("SUMMER10",)]


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("INSERT INTO tax_rates (country, region, name, rate) VALUES ('US', 'California', 'State', 0.07)", "region"),
        ("INSERT INTO tax_rates (country, name, rate) VALUES ('U1', 'State', 0.07)", "country"),
        ("INSERT INTO tax_rates (country, name, rate) VALUES ('US', '\u200b ', 0.07)", "name"),
        ("INSERT INTO tax_rates (country, name, rate) VALUES ('DE', 'VAT', 0.19), ('DE', 'vat ', 0.07)", "once"),
        ("INSERT INTO variants (sku, title) VALUES ('\u200b', 'A')", "sku"),
        ("INSERT INTO locations (code) VALUES (' ')", "code"),
    ],
)
def test_what_is_no_name_is_refused(shelf: Shelf, statement: str, constraint: str) -> None:
    table = statement.split()[2]
    with pytest.raises(IntegrityError, match=f'"{table}_{constraint}_(check|key)"'):
        shelf.run(statement)
