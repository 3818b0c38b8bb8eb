"""Imports into existing stock, prices and locations, and their reports."""

import csv
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from pipeline.catalog import PriceRow, VariantRow, set_prices, set_stock, upsert_variants
from pipeline.catalog.stock_rows import StockDelta
from tests.integration.catalog.stockroom import read_stock, read_versions, rows_of, stock_up
from tests.integration.catalog.till import HEADER, call, moment, save
from tests.support.harness import Shelf, Works

pytestmark = pytest.mark.usefixtures("environment")


def test_the_same_file_again_does_not_bring_back_what_was_sold(
    engine: Engine, shelf: Shelf, works: Works, tmp_path: Path
) -> None:
    path = save(tmp_path, "cup,Cup,cup,50,deny,2")
    assert call("import", path, "--currency", "EUR").exit_code == 0
    written_at = moment(engine)
    works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    works.pump()

    again = call("import", path, "--currency", "EUR")
    counted = call("import", path, "--currency", "EUR", "--stock-as-of", written_at)

    assert (again.exit_code, counted.exit_code) == (0, 0)
    assert again.stdout.splitlines()[1:] == [
        "0 prices and 0 stock levels changed",
        "1 variant had stock already, and kept it, since units may have been sold: --stock-as-of TIME sets it to the"
        " file's, less what was sold since TIME",
    ]
    assert counted.stdout.splitlines()[1:] == ["0 prices and 0 stock levels changed"]
    with engine.begin() as connection:
        assert read_stock(connection) == [("cup", "main", 49, 0, False)]


def test_a_newer_count_is_set_less_what_was_sold_since(
    engine: Engine, shelf: Shelf, works: Works, tmp_path: Path
) -> None:
    shelf.add_variant("cup", stock=50, price_minor=200)
    written_at = moment(engine)
    works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump()

    path = save(tmp_path, "cup,Cup,cup,60,deny,2")
    changed = [
        json.loads(call("import", path, "--currency", "EUR", "--stock-as-of", written_at, "--json").stdout)[
            "stock_changed"
        ]
        for _ in range(2)
    ]

    assert changed == [1, 0]
    with engine.begin() as connection:
        assert read_stock(connection) == [("cup", "main", 58, 0, False)]


def test_a_count_older_than_the_last_manual_change_is_refused(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5)
    written_at = moment(engine)
    with engine.begin() as connection:
        set_stock(connection, [StockDelta("A", "main", 10)])
        before = read_versions(connection)

    result = call("import", save(tmp_path, "a,A,A,5,deny,9"), "--currency", "EUR", "--stock-as-of", written_at)

    assert result.exit_code == 1
    assert 'row 2: "A" at "main" was set by hand since ' in result.stdout
    with engine.begin() as connection:
        assert read_versions(connection) == before


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("2999-01-01T00:00Z", "--stock-as-of 2999-01-01T00:00:00+00:00 is yet to come: say when the file was written."),
        ("2026-11-27", "'2026-11-27' is no moment: say one such as 2026-11-27T18:00+01:00"),
        ("2026-11-27T18:00", "'2026-11-27T18:00' is no moment: say one such as 2026-11-27T18:00+01:00"),
        ("2026-02-31T18:00Z", "'2026-02-31T18:00Z' is no moment"),
    ],
)
def test_a_count_without_a_valid_time_is_refused(engine: Engine, tmp_path: Path, when: str, said: str) -> None:
    result = call("import", save(tmp_path, "a,A,A,5,deny,9"), "--currency", "EUR", "--stock-as-of", when)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said.replace(" ", "") in "".join(result.stderr.replace("│", "").split())
    with engine.begin() as connection:
        assert read_versions(connection) == []


def test_net_prices_stay_net_and_a_price_with_an_end_stays_in_force(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        upsert_variants(connection, [VariantRow("A", "A"), VariantRow("B", "B")])
        set_prices(connection, [PriceRow("A", "EUR", 1000, tax_included=False), PriceRow("B", "EUR", 1000)])
        connection.execute(
            text(
                "INSERT INTO prices (variant_id, currency, amount_minor, valid_from, valid_until)"
                " SELECT id, 'EUR', 700, now() - interval '1 day', timestamptz '2999-01-01' FROM variants"
                " WHERE sku = 'B'"
            )
        )

    path = save(tmp_path, "a,A,A,1,deny,9", "b,B,B,1,deny,9", "c,C,C,1,deny,9")
    result = call("import", path, "--currency", "EUR", "--prices-exclude-tax")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "3 prices and 3 stock levels changed",
        "1 price with an end stayed in force, until 2999-01-01T00:00:00+00:00 at the latest: the file's prices are"
        " valid after that",
        "1 variant kept prices that include tax otherwise than was said: only variants without a price take it from the"
        " command",
    ]
    with engine.begin() as connection:
        assert rows_of(
            connection,
            "SELECT v.sku, p.amount_minor, p.tax_included FROM prices p JOIN variants v ON v.id = p.variant_id"
            " WHERE p.valid_until IS NULL OR p.valid_until > now() ORDER BY v.sku, p.id",
        ) == [("A", 900, False), ("B", 700, True), ("B", 900, True), ("C", 900, False)]


def test_an_unknown_location_is_refused_before_anything_is_written_unless_it_is_to_be_created(
    engine: Engine, tmp_path: Path
) -> None:
    path = save(tmp_path, "a,New,A,5,deny,9", "b,B,B,5,deny,9")
    with engine.begin() as connection:
        stock_up(connection, 5)
        before = read_versions(connection)

    result = call("import", path, "--currency", "EUR", "--location", "Mian")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        'There is no location "mian" (did you mean "main"?): correct it, or create it with --create (over HTTP,'
        " create_locations).\n"
    )
    with engine.begin() as connection:
        assert read_versions(connection) == before
    assert call("import", path, "--currency", "EUR", "--location", "Mian", "--create").exit_code == 0
    with engine.begin() as connection:
        assert read_stock(connection) == [("A", "main", 5, 0, False), ("B", "mian", 5, 0, False)]


def test_a_policy_refused_because_of_another_location_names_no_location(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5, policy="continue")
        set_stock(connection, [StockDelta("A", "berlin", 1)], create_locations=True)
        connection.execute(
            text("UPDATE stock_levels SET reserved = 3 WHERE location_id = (SELECT max(id) FROM locations)")
        )
        before = read_versions(connection)

    result = call("import", save(tmp_path, "a,A,A,5,deny,9"), "--currency", "EUR")

    assert result.exit_code == 1
    assert 'row 2: The policy of "A" cannot be deny: elsewhere 3 are held of 1: receive more there' in result.stdout
    assert "berlin" not in result.output
    with engine.begin() as connection:
        assert read_versions(connection) == before


def test_cells_that_are_not_imported_as_written_are_reported(engine: Engine, tmp_path: Path) -> None:
    header = f"{HEADER},Variant Inventory Tracker,Variant Taxable,Price / Canada"
    path = save(
        tmp_path,
        "a,A,A,-2,continue,9,shopify,true,",
        "b,B,B,0,deny,9,,false,",
        header=header,
    )

    result = call("import", path, "--currency", "EUR")

    assert result.stdout.splitlines() == [
        "export.csv: 2 rows, 2 variants imported at main, 0 rows refused",
        "2 prices and 0 stock levels changed",
        "1 variant not tracked by Shopify: always for sale",
        "1 quantity below zero taken as 0 units",
        "1 variant marked as not taxable, which is not read: give them a category with a tax rate of 0",
        'Columns that are not read: "Price / Canada"',
    ]
    with engine.begin() as connection:
        assert read_stock(connection) == [("A", "main", 0, 0, True), ("B", "main", 0, 0, True)]


def test_twenty_refused_rows_are_printed_after_the_summary_and_all_are_in_a_file(
    engine: Engine, tmp_path: Path
) -> None:
    path = save(tmp_path, "ok,Ok,OK,1,deny,1", *(f"p{number},P,S{number},1,deny,?" for number in range(21)))

    result = call("import", path, "--currency", "EUR")

    lines = result.stdout.splitlines()
    assert (result.exit_code, lines[0]) == (3, "export.csv: 22 rows, 1 variant imported at main, 21 rows refused")
    assert [line for line in lines if line.startswith("row ")] == [
        f"row {number}: bad price '?': digits with a decimal point" for number in range(3, 23)
    ]
    assert lines[-1] == "All 21 refused rows are in export.refused.csv"
    with Path("export.refused.csv").open(newline="") as file:
        kept = list(csv.reader(file))
    assert (len(kept), kept[0], kept[-1]) == (
        22,
        ["row", "reason"],
        ["23", "bad price '?': digits with a decimal point"],
    )


def test_refused_rows_go_where_they_are_asked_for_and_never_over_the_file(engine: Engine, tmp_path: Path) -> None:
    path = save(tmp_path, "a,A,A,1,deny,?")
    content = path.read_bytes()

    over = call("import", path, "--currency", "EUR", "--refusals", "export.csv")
    nowhere = call("import", path, "--currency", "EUR", "--refusals", "none/x.csv")
    there = call("import", path, "--currency", "EUR", "--refusals", "x.csv")

    assert (over.exit_code, over.stderr) == (
        2,
        "--refusals export.csv is the file that is imported: name another one.\n",
    )
    assert path.read_bytes() == content
    assert nowhere.stderr == "none/x.csv cannot be written (No such file or directory): here are all refused rows.\n"
    assert nowhere.stdout.splitlines()[-1] == "row 2: bad price '?': digits with a decimal point"
    assert there.stdout.splitlines()[-1] == "All 1 refused rows are in x.csv"
    assert Path("x.csv").read_text() == "row,reason\n2,bad price '?': digits with a decimal point\n"


def test_a_long_import_shows_its_progress(engine: Engine, tmp_path: Path) -> None:
    short, long = (
        call("import", save(tmp_path, *(f"p{n},P,S{n},1,deny,1" for n in range(count))), "--currency", "EUR")
        for count in (3, 3001)
    )

    assert short.stderr == ""
    assert long.stderr.splitlines() == ["1500 of 3001 variants", "3000 of 3001 variants", "3001 of 3001 variants"]


def test_a_file_that_is_cut_off_is_refused_there_unless_forced(engine: Engine, tmp_path: Path) -> None:
    path = save(tmp_path, "a,A,A,1,deny,9", "b,B,B,1,deny,18.50")
    path.write_bytes(path.read_bytes()[:-4])

    refused = call("import", path, "--currency", "EUR")

    assert (refused.exit_code, refused.stdout.splitlines()[-1]) == (
        3,
        "row 3: the file ends without a line end, so this row may be cut off: add one, or use --force",
    )
    with engine.begin() as connection:
        assert rows_of(connection, "SELECT sku FROM variants") == [("A",)]
    assert call("import", path, "--currency", "EUR", "--force").exit_code == 0


def test_a_file_that_is_too_large_is_refused_before_it_is_read(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(512 * 1024 * 1024 + 1)

    result = call("import", path, "--currency", "EUR")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("has 536870913 bytes and at most 536870912 are read at once: split it.\n")
