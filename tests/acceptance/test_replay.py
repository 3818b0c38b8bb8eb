"""`scripts/replay.py` as a user runs it: a file in, real processes, figures out, nothing left behind."""

import json
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
import pytest
from sqlalchemy import Engine

from pipeline.audit.report import list_invariants
from pipeline.settings import Settings
from tests.acceptance.replays import ROOT, assert_nothing_is_left, name_servers, read_database, run

pytestmark = pytest.mark.acceptance
SAMPLE: Final = ROOT.parent / "shared" / "data" / "online_retail_sample.csv"
needs_sample = pytest.mark.skipif(not SAMPLE.exists(), reason="The sample of real invoices is not beside the project.")
REFUSED: Final = [
    {"row": 6, "reason": "cancelled invoice 'C1003'"},
    {"row": 7, "reason": "negative quantity -1: a return, not a sale"},
    {"row": 8, "reason": "country 'Nowhere': no place known to send to"},
]


class TaxedLine(NamedTuple):
    """A line of an order with its taxes as (name, rate, amount)."""

    order: str
    order_tax_minor: int
    total_minor: int
    tax_minor: int
    tax_included: bool
    taxes: list[tuple[str, Fraction, int]]


def read_orders(settings: Settings, database: str) -> list[tuple[Any, ...]]:
    """Return the lines of all placed orders of a kept database, which is dropped."""
    return read_kept(
        settings,
        database,
        """
            SELECT split_part(o.reference, '-', 1), l.sku, l.title, l.quantity, l.total_minor,
                   o.shipping_address ->> 'name', o.shipping_address ->> 'country'
            FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.state = 'placed' ORDER BY 1, l.line
        """,
    )


def read_taxes(settings: Settings, database: str) -> list[TaxedLine]:
    """Return the lines of all placed orders of a kept database, which is dropped, in the order of the invoices."""
    rows = read_kept(
        settings,
        database,
        """
            SELECT o.reference, o.tax_minor, l.total_minor, l.tax_minor, l.tax_included, l.taxes
            FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.state = 'placed' ORDER BY 1, l.line
        """,
    )
    return [
        TaxedLine(
            order,
            order_tax_minor,
            total_minor,
            tax_minor,
            tax_included,
            [(tax["name"], Fraction(tax["rate"]), tax["amount_minor"]) for tax in taxes],
        )
        for order, order_tax_minor, total_minor, tax_minor, tax_included, taxes in rows
    ]


def read_kept(settings: Settings, database: str, query: LiteralString) -> list[Any]:
    """Run a query on a kept database, which is dropped."""
    url = settings.database_url.get_secret_value()
    with psycopg.connect(url, dbname=database) as connection:
        found = connection.execute(query).fetchall()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {database}")
    return found


def test_every_invoice_becomes_an_order_at_the_prices_of_the_file(invoices: Path, settings: Settings) -> None:
    # When, with the database kept for the assertions
    code, output, notes = run(invoices, name_servers(settings), "--json", "--keep")
    # Then
    assert (code, len(output.splitlines())) == (0, 1), notes
    found: dict[str, Any] = json.loads(output)
    assert 0 < found.pop("seconds") < 60
    assert found == {
        "checkouts": 3,
        "completed": 3,
        "failed": {},
        "unfinished": {},
        "units_stocked": 16,
        "units_sold": 16,
        "units_left": 0,
        "units_held": 0,
        "revenue_minor": 4710 + 750 + 1000,
        "tax_minor": 0,
        "currency": "GBP",
        "stock_conserved": True,
        "stock_off": [],
        "audit_violations": 0,
        "audit_invariants": len(list_invariants()),
        "broken": [],
        "file": "invoices.csv",
        "encoding": "windows-1252",
        "rows": 9,
        "refused": REFUSED,
    }
    lines = notes.splitlines()
    assert lines[0] == "invoices.csv: 9 rows, 3 invoices, 3 rows refused."
    assert lines[1] == "The file is not UTF-8 and was read as windows-1252: look at accented letters in the titles."
    assert lines[2:5] == [f"row {each['row']}: {each['reason']}" for each in REFUSED]
    assert lines[-1] == "3 of 3 checkouts ended."
    assert read_orders(settings, read_database(notes)) == [
        ("1001", "CUP", "Café cup", 2, 500, "Customer 17850", "GB"),
        ("1001", "CUP", "Café cup", 1, 210, "Customer 17850", "GB"),
        ("1001", "POT", "Pot", 4, 4000, "Customer 17850", "GB"),
        ("1002", "CUP", "Café cup", 3, 750, "Customer without a number", "IE"),
        ("1005", "POT", "Pot", 1, 1000, "Customer 12431", "AU"),
        ("1005", "CARD", "A card, free", 5, 0, "Customer 12431", "AU"),
    ]


def test_a_checkout_without_enough_stock_fails_and_reserves_nothing(invoices: Path) -> None:
    # When there are no servers, and three units of everything: the first wants four pots, the last five cards
    code, output, notes = run(invoices, {}, "--stock", "3", execute=True)
    # Then
    assert code == 0, notes
    assert "PostgreSQL runs for the moment only: set DATABASE_URL to use another one." in notes
    table = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    assert table[:-1] == [
        "checkouts 3",
        "completed 1",
        "failed: out_of_stock 2",
        "units sold 3",
        "units left 6",
        "units still held 0",
        "sold + left = stock yes, of 9",
        "revenue 7.50 GBP",
        f"audit {len(list_invariants())} invariants hold",
    ]


def split_tax(total_minor: int, percent: Fraction) -> int:
    """Return the tax that is included in a price, rounded half up."""
    rate = percent / 100
    return floor(total_minor * rate / (1 + rate) + Fraction(1, 2))


def assert_tax_is_split(lines: Sequence[TaxedLine], percent: Fraction, tax_minor: int) -> None:
    """Assert the tax of each line, of each order, and of all orders."""
    assert [line.tax_minor for line in lines] == [split_tax(line.total_minor, percent) for line in lines]
    assert all(line.taxes == [("VAT", percent / 100, line.tax_minor)] and line.tax_included for line in lines)
    by_order: Counter[str] = Counter()
    for line in lines:
        by_order[line.order] += line.tax_minor
    assert by_order == {line.order: line.order_tax_minor for line in lines}
    assert by_order.total() == tax_minor


@pytest.mark.parametrize(
    ("percent", "taxes"), [("20", [83, 35, 667, 125, 167, 0]), ("7.5", [35, 15, 279, 52, 70, 0])], ids=["20", "7.5"]
)
def test_with_vat_the_prices_stay_and_their_tax_is_reported(
    invoices: Path, settings: Settings, percent: str, taxes: list[int]
) -> None:
    code, output, notes = run(invoices, name_servers(settings), "--json", "--keep", "--vat", percent)
    assert code == 0, notes
    found = json.loads(output)
    assert (found["completed"], found["revenue_minor"], found["tax_minor"]) == (3, 4710 + 750 + 1000, sum(taxes))
    assert found["broken"] == []
    lines = read_taxes(settings, read_database(notes))
    assert [line.tax_minor for line in lines] == taxes
    assert_tax_is_split(lines, Fraction(percent), found["tax_minor"])


@needs_sample
def test_the_sample_with_vat_has_the_same_revenue_and_the_tax_split_to_the_penny(settings: Settings) -> None:
    code, output, notes = run(SAMPLE, name_servers(settings), "--json", "--keep", "--vat", "20")
    assert code == 0, notes
    found = json.loads(output.splitlines()[-1])
    wanted = {"completed": 236, "failed": {}, "revenue_minor": 9302947, "audit_violations": 0}
    assert {key: found[key] for key in wanted} == wanted
    lines = read_taxes(settings, read_database(notes))
    assert len(lines) == 4688
    assert sum(line.total_minor for line in lines) == 9302947
    assert_tax_is_split(lines, Fraction(20), found["tax_minor"])


@needs_sample
def test_the_sample_of_real_invoices_is_sold_to_the_penny(settings: Settings, engine: Engine) -> None:
    code, output, notes = run(SAMPLE, name_servers(settings), "--json")
    assert code == 0, notes
    found = json.loads(output.splitlines()[-1])
    wanted = {"checkouts": 236, "completed": 236, "failed": {}, "units_sold": 47252, "units_left": 0, "rows": 4688}
    wanted |= {"revenue_minor": 9302947, "tax_minor": 0, "audit_violations": 0, "refused": [], "stock_conserved": True}
    assert {key: found[key] for key in wanted} == wanted
    assert_nothing_is_left(settings, engine, notes)


@needs_sample
def test_the_sample_with_twenty_units_of_each_sells_no_more_than_the_stock(settings: Settings, engine: Engine) -> None:
    code, output, notes = run(SAMPLE, name_servers(settings), "--json", "--stock", "20")
    assert code == 0, notes
    found = json.loads(output.splitlines()[-1])
    # Which checkout is first depends on timing; that none is lost does not.
    assert set(found["failed"]) == {"out_of_stock"}
    assert found["completed"] + found["failed"]["out_of_stock"] == found["checkouts"] == 236
    assert found["completed"] > 0
    assert found["units_stocked"] == 20 * 1455
    assert found["units_sold"] + found["units_left"] == found["units_stocked"]
    wanted = {"units_held": 0, "stock_conserved": True, "stock_off": [], "audit_violations": 0, "unfinished": {}}
    assert {key: found[key] for key in wanted} == wanted
    assert_nothing_is_left(settings, engine, notes)
