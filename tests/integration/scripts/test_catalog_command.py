"""The import command of the catalog: its rows, its output, its exit codes."""

import json
import os
import sys
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine

from pipeline.catalog import PriceRow, set_prices
from tests.integration.catalog.stockroom import read_stock, read_versions, rows_of, stock_up
from tests.integration.catalog.till import HEADER, call, moment, save
from tests.support import commands

ROOT: Final = Path(__file__).parents[3]
SAMPLES: Final = ROOT.parent / "shared" / "data" / "shopify"


def test_import_fills_the_catalog_and_reports_refused_rows(
    engine: Engine, environment: dict[str, str], tmp_path: Path
) -> None:
    path = save(tmp_path, "mug,Mug,MUG,7,deny,9.99", "cup,Cup,CUP,-1,deny,5", "pot,Pot,,2,continue,20")

    result = call("import", path, "--currency", "usd", "--location", " Shop")

    assert (result.exit_code, result.stderr) == (3, "")
    assert result.stdout.splitlines() == [
        "export.csv: 3 rows, 2 variants imported at shop, 1 row refused",
        "2 prices and 2 stock levels changed",
        "1 sku derived from handle and options",
        "row 3: negative quantity '-1'",
    ]
    with engine.begin() as connection:
        assert read_stock(connection) == [("MUG", "shop", 7, 0, False), ("pot", "shop", 2, 0, True)]
        assert rows_of(connection, "SELECT currency, amount_minor FROM prices ORDER BY amount_minor") == [
            ("USD", 999),
            ("USD", 2000),
        ]


def test_a_second_import_of_the_same_file_writes_nothing(
    engine: Engine, environment: dict[str, str], tmp_path: Path
) -> None:
    path = save(tmp_path, "mug,Mug,MUG,7,deny,9.99", "pot,Pot,,0,continue,20")
    call("import", path, "--currency", "USD")
    with engine.begin() as connection:
        before = read_versions(connection)

    result = call("import", path, "--currency", "USD", "--json")

    assert (result.exit_code, result.stdout) == (
        0,
        '{"file": "export.csv", "currency": "USD", "location": "main", "encoding": "utf-8", "rows": 2, "imported": 2,'
        ' "skus_derived": 1, "prices_changed": 0, "prices_covered": 0, "prices_covered_until": null,'
        ' "tax_flags_kept": 0, "stock_changed": 0, "stock_left": 2, "untracked": 0, "below_zero": 0,'
        ' "not_taxable": 0, "same_sku": 0, "unused_columns": [], "refused": []}\n',
    )
    with engine.begin() as connection:
        assert read_versions(connection) == before


def test_a_count_below_the_reserved_units_refuses_its_whole_row_alone(
    engine: Engine, environment: dict[str, str], tmp_path: Path
) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5, reserved=3)
        set_prices(connection, [PriceRow("A", "USD", 100)])

    path = save(tmp_path, "a,New,A,2,deny,9", "b,B,B,1,deny,9")
    result = call("import", path, "--currency", "USD", "--json", "--stock-as-of", moment(engine))

    report = json.loads(result.stdout)
    assert (result.exit_code, report["imported"]) == (3, 1)
    reason = 'Checkouts hold 3 of "A" at "main", and 2 would be there: keep 3 or more'
    assert report["refused"] == [{"row": 2, "reason": reason}]
    with engine.begin() as connection:
        assert rows_of(connection, "SELECT sku, title FROM variants ORDER BY sku") == [("A", "A"), ("B", "B")]
        assert rows_of(connection, "SELECT amount_minor FROM prices ORDER BY id") == [(100,), (900,)]
        assert read_stock(connection) == [("A", "main", 5, 3, False), ("B", "main", 1, 0, False)]


def test_more_rows_than_one_chunk_are_all_imported(engine: Engine, environment: dict[str, str], tmp_path: Path) -> None:
    path = save(tmp_path, *(f"p{number},P,SKU-{number},1,deny,1" for number in range(3001)))

    result = call("import", path, "--currency", "USD", "--json")

    assert (result.exit_code, json.loads(result.stdout)["imported"]) == (0, 3001)
    with engine.begin() as connection:
        assert rows_of(connection, "SELECT count(*), sum(on_hand) FROM stock_levels") == [(3001, 3001)]


def test_a_file_that_is_not_utf_8_is_read_as_windows_1252_with_a_warning(
    engine: Engine, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(f"{HEADER}\ncafe,Café,C,1,deny,1\n".encode("cp1252"))

    result = call("import", path, "--currency", "EUR")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[2] == (
        "The file is not UTF-8 and was read as windows-1252: look at accented letters in the titles"
    )
    with engine.begin() as connection:
        assert rows_of(connection, "SELECT title FROM variants") == [("Café",)]


def test_an_import_of_nothing_exits_1(engine: Engine, environment: dict[str, str], tmp_path: Path) -> None:
    result = call("import", save(tmp_path, "mug,Mug,MUG,7,deny,?"), "--currency", "USD")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "export.csv: 1 row, 0 variants imported at main, 1 row refused",
        "0 prices and 0 stock levels changed",
        "row 2: bad price '?': digits with a decimal point",
    ]
    with engine.begin() as connection:
        assert read_versions(connection) == []


@pytest.mark.parametrize(
    ("_case", "content", "currency", "sentence"),
    [
        ("unknown currency", HEADER, "XXQ", "XXQ is not an ISO 4217 currency with a minor unit: use one such as USD."),
        (
            "gold has no minor unit",
            HEADER,
            "XAU",
            "XAU is not an ISO 4217 currency with a minor unit: use one such as USD.",
        ),
        ("no file", None, "USD", "export.csv cannot be read: No such file or directory."),
        (
            "missing columns",
            HEADER.replace("Handle,", ""),
            "USD",
            "export.csv is not a product export of Shopify: it has no column Handle; its first row is 'Title',"
            " 'Variant SKU', 'Variant Inventory Qty', 'Variant Inventory Policy', 'Variant Price'.",
        ),
    ],
)
def test_a_wrong_call_exits_2_with_one_sentence(
    engine: Engine, environment: dict[str, str], *, _case: str, content: str | None, currency: str, sentence: str
) -> None:
    if content is not None:
        Path("export.csv").write_text(f"{content}\nmug,Mug,MUG,1,deny,1\n", encoding="utf-8")

    result = call("import", "export.csv", "--currency", currency)

    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{sentence}\n")
    with engine.begin() as connection:
        assert read_versions(connection) == []


@pytest.mark.parametrize(
    ("name", "variants", "units", "total_minor"),
    [("apparel.csv", 22, 22, 129_500), ("home-and-garden.csv", 21, 65, 234_584), ("jewelery.csv", 23, 20, 98_074)],
)
def test_real_exports_are_imported_by_the_real_command(
    engine: Engine, environment: dict[str, str], *, name: str, variants: int, units: int, total_minor: int
) -> None:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the sample {name} is not beside this checkout")
    command = [sys.executable, str(ROOT / "scripts" / "catalog.py"), "import", str(path), "--currency", "USD", "--json"]

    done = [commands.run(command, cwd=ROOT, env=os.environ, timeout=60, execute=execute) for execute in (True, False)]

    assert [each.returncode for each in done] == [0, 0]
    reports = [json.loads(each.stdout) for each in done]

    assert [report["imported"] for report in reports] == [variants, variants]
    assert [report["prices_changed"] for report in reports] == [variants, 0]
    assert [report["refused"] for report in reports] == [[], []]
    with engine.begin() as connection:
        assert rows_of(connection, "SELECT sum(amount_minor), count(*) FROM prices") == [(total_minor, variants)]
        assert rows_of(connection, "SELECT sum(on_hand), count(*) FROM stock_levels") == [(units, variants)]
        assert rows_of(connection, "SELECT DISTINCT kind FROM stock_movements") == [("receive",)]
        assert rows_of(connection, "SELECT sum(quantity) FROM stock_movements") == [(units,)]
