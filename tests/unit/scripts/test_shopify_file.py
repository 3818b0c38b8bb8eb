"""Shopify's product export as a file: its lines, quotes and encoding."""

from pathlib import Path
from typing import Final

import pytest

from scripts.importers.sheets import ROW_LINES
from scripts.importers.shopify import RowRefusal, read_export
from tests.factories.exports import HEADER, row, write

SAMPLES: Final = Path(__file__).parents[4] / "shared" / "data" / "shopify"


def test_rows_are_numbered_as_a_spreadsheet_counts_them() -> None:
    # Given a cell with line breaks (one row), an empty line, and a row of empty cells
    content = (
        b"Handle,Title,Body (HTML),Variant SKU,Variant Inventory Qty,Variant Inventory Policy,Variant Price\r\n"
        b'mug,Mug,"of\nthree\nlines",M,1,deny,1\r\n'
        b"\r\n"
        b",,,,,,\r\n"
        b"cup,Cup,,C,1,deny,?\r\n"
    )

    export = read_export(content, "USD")

    assert [(variant.row, variant.title) for variant in export.variants] == [(2, "Mug")]
    assert (export.rows, export.refused) == (2, (RowRefusal(5, "bad price '?': digits with a decimal point"),))


def test_rows_of_other_lengths() -> None:
    head = b"Handle,Title,Variant SKU,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Type,Status\n"

    export = read_export(
        head + b"a,A,A,1,deny,1\n" + b"b,B,B,1,deny,1,Kitchen,active,,\n" + b"c,C,C,1,deny,1,Kitchen,active,more\n",
        "USD",
    )

    assert [(variant.sku, variant.category) for variant in export.variants] == [("A", None), ("B", "Kitchen")]
    assert export.refused == (RowRefusal(4, "9 cells under a header of 8"),)


def test_broken_quotes_are_refused_and_reading_goes_on() -> None:
    head = b"Handle,Title,Variant SKU,Variant Inventory Qty,Variant Inventory Policy,Variant Price\n"

    export = read_export(
        head + b'a,"A"x,A,1,deny,1\n' + b"b,B,B,1,deny,1\n" + b'c,"never closed,C,1,deny,1\nd,D,D,1,deny,1\n', "USD"
    )

    assert [variant.sku for variant in export.variants] == ["B", "D"]
    assert export.refused == (
        RowRefusal(2, "not readable as CSV: ',' expected after '\"'"),
        RowRefusal(4, "not readable as CSV: unexpected end of data"),
    )
    assert export.rows == 4


def test_a_quote_that_is_never_closed_costs_one_row_of_a_file_longer_than_a_row_may_be() -> None:
    more = [row(Handle=f"p{number}", Variant_SKU=f"S{number}") for number in range(ROW_LINES)]
    head, first, rest = write(row(), *more).split(b"\r\n", 2)

    export = read_export(b"\r\n".join((head, first.replace(b"Mug", b'"Mug'), rest)), "USD")

    assert [variant.row for variant in export.variants] == list(range(3, ROW_LINES + 3))
    assert (export.rows, export.refused) == (
        ROW_LINES + 1,
        (RowRefusal(2, "not readable as CSV: unexpected end of data"),),
    )


def test_a_quote_that_a_later_row_closes_refuses_every_row_between() -> None:
    head = b"Handle,Title,Variant SKU,Variant Inventory Qty,Variant Inventory Policy,Variant Price\n"
    rows = (
        b'a,Cup,CUP-A,1,deny,1\nb,"Plate,PLATE-B,1,deny,1\nc,Pot,POT-C,1,deny,1\nd,Jug",JUG-D,1,deny,1\n'
        b"e,Pan,PAN-E,1,deny,1\n"
    )

    export = read_export(head + rows, "USD")

    assert [(variant.row, variant.sku, variant.title) for variant in export.variants] == [
        (2, "CUP-A", "Cup"),
        (4, "PAN-E", "Pan"),
    ]
    assert (export.rows, export.refused) == (
        5,
        (
            RowRefusal(3, "a line break in column 'Title': its quote is opened in line 3 and closed by line 5"),
            RowRefusal(3, "line 4 is inside the quote that line 3 opens"),
            RowRefusal(3, "line 5 is inside the quote that line 3 opens"),
        ),
    )


def test_a_description_of_very_many_lines_is_one_row() -> None:
    body = "<p>\n" * (ROW_LINES - 1)

    export = read_export(write({**row(), "Body": body}, row(Variant_SKU="LAST"), header=[*HEADER, "Body"]), "USD")

    assert [(variant.row, variant.sku) for variant in export.variants] == [(2, "MUG-1"), (3, "LAST")]
    assert (export.rows, export.refused) == (2, ())


def test_a_description_longer_than_the_csv_module_allows_by_default() -> None:
    export = read_export(write({**row(), "Body": "x" * 200_000}, header=[*HEADER, "Body"]), "USD")

    assert [variant.sku for variant in export.variants] == ["MUG-1"]


@pytest.mark.parametrize(
    ("_case", "encoding", "shown"),
    [
        ("utf-8", "utf-8", "utf-8"),
        ("with a byte order mark", "utf-8-sig", "utf-8"),
        ("windows-1252", "cp1252", "windows-1252"),
        ("utf-16", "utf-16", "utf-16"),
    ],
)
def test_encodings(_case: str, encoding: str, shown: str) -> None:
    content = write(row(Title="Café")).decode().encode(encoding)

    export = read_export(content, "USD")

    assert (export.encoding, [variant.title for variant in export.variants]) == (shown, ["Café"])


@pytest.mark.parametrize(
    ("name", "rows", "variants", "units", "total_minor"),
    [
        ("apparel.csv", 22, 22, 22, 129_500),
        ("home-and-garden.csv", 21, 21, 65, 234_584),
        ("jewelery.csv", 41, 23, 20, 98_074),
    ],
)
def test_real_exports(name: str, rows: int, variants: int, units: int, total_minor: int) -> None:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the sample {name} is not beside this checkout")

    export = read_export(path.read_bytes(), "USD")

    assert (export.rows, len(export.variants), export.refused) == (rows, variants, ())
    assert sum(variant.quantity for variant in export.variants) == units
    assert sum(variant.price_minor for variant in export.variants) == total_minor
    assert len({variant.title.split(" - ")[0] for variant in export.variants}) == 20
    assert all(variant.is_sku_derived and variant.active for variant in export.variants)
