"""Unknown columns of a table."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest

from scripts.importers.columns import NOTES, Unread
from scripts.importers.exchange_rates import read_rates
from scripts.importers.sheets import NotReadable, Row, read_rows
from scripts.importers.tax_rates import read_taxes

HEAD = "country,region,name,rate,valid_from"
LINE = "US,CA,Sales tax,7.25%,2026-01-01"
BEGINNING = "it has columns that are not read and could change what is: "


def read(columns: str, *cells: str, ignored: Sequence[str] = ()) -> tuple[str, ...]:
    rows = "".join(f"{each}\n" for each in (columns, *cells))
    sheet = read_rows(rows, ["a"])
    unread = Unread(sheet.columns, ["a", "b"], ignored=ignored)
    for row in sheet:
        assert isinstance(row, Row)
        unread.watch(row)
    unread.check()
    return unread.columns


def test_a_rate_for_one_postcode_is_not_charged_in_the_whole_state() -> None:
    table = "country,region,postcode,name,rate,valid_from\n" + "".join(
        f"US,CA,{code},Tax {code},{rate},2026-01-01\n" for code, rate in (("90210", "9.5%"), ("94105", "8.625%"))
    )

    with pytest.raises(NotReadable) as refusal:
        read_taxes(table.encode())

    assert str(refusal.value) == (
        f"{BEGINNING}'postcode' (row 2 has something in 'postcode'); take them out together with the rows that hold"
        ' for a part only, or leave one out as it is with --ignore-column "postcode"'
    )


@pytest.mark.parametrize(
    "name",
    [
        # Headings of WooCommerce in two languages, of Magento, and others that narrow or change a rate
        *("Postcode / ZIP", "City", "Priority", "Compound", "Código postal", "Ciudad", "Prioridad", "Compuesto"),
        *("Zip/Post Code", "Zip/Post is Range", "Range From", "Range To", "compound", "priority", "zip", "ZIP Code"),
        *("county", "min_amount", "max amount", "customer group", "weekday", "threshold", "b2b only", "per unit"),
    ],
)
def test_a_column_that_could_narrow_or_change_a_rate_refuses_the_table(name: str) -> None:
    with pytest.raises(NotReadable) as refusal:
        read_taxes(f"{HEAD},{name}\n{LINE},\n{LINE.replace('Sales', 'Other')},1\n".encode())

    assert str(refusal.value).startswith(f"{BEGINNING}{name!r} (row 3 has something in {name!r})")


@pytest.mark.parametrize(
    ("name", "own"),
    [("State", "region"), ("province", "region"), ("STATE CODE", "region"), ("Tax class", "category")],
)
def test_a_known_column_under_another_name_gets_a_hint(name: str, own: str) -> None:
    table = f"country,{name},name,rate,valid_from\nUS,CA,Sales tax,7.25%,2026-01-01\n"

    with pytest.raises(NotReadable) as refusal:
        read_taxes(table.encode())

    assert str(refusal.value).startswith(f"{BEGINNING}{name!r} (called {own} here) (row 2")


@pytest.mark.parametrize("name", sorted(NOTES))
def test_a_note_is_left_out_and_named(name: str) -> None:
    found = read_taxes(f"{HEAD},{name.title()}\n{LINE},something\n".encode())

    assert [tax.rate for tax in found.taxes] == [Decimal("0.0725")]
    assert (found.refused, found.unread) == ((), (name.title(),))


def test_a_column_without_values_is_left_out_and_named() -> None:
    assert read("a,postcode,b,c d", "1,,2,", "1, ,2,") == ("postcode", "c d")


def test_a_column_may_be_left_out_by_name_whatever_its_case() -> None:
    assert read("a,Post Code", "1,90210", ignored=["post  code"]) == ("Post Code",)
    with pytest.raises(NotReadable, match="'City'"):
        read("a,Post Code,City", "1,90210,x", ignored=["post code"])


@pytest.mark.parametrize(
    ("name", "reason"), [("c", "it has no column 'c' to ignore: leave"), ("b", "the column 'b' is read: it cannot")]
)
def test_only_a_column_that_is_there_and_not_read_is_ignored(name: str, reason: str) -> None:
    with pytest.raises(NotReadable, match=reason):
        read("a,b,postcode", "1,2,3", ignored=[name])


def test_a_sentence_names_eight_columns_at_most() -> None:
    names = [f"x{number}" for number in range(300)]

    with pytest.raises(NotReadable, match=r"'x7' and 292 more \(row 2"):
        read(",".join(["a", *names]), ",".join("1" * 301))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        # An extra comma, inside a number and before one
        ("Date,USD,JPY,\n2026-11-23,1.1602,181,25,\n2026-11-20,1.16,181.2,\n", 2),
        ("Date,USD,JPY,\n2026-11-23,1.1602,181.25,\n2026-11-20,,1.16,181.2\n", 3),
    ],
)
def test_a_comma_too_many_moves_no_value_into_another_column(table: str, row: int) -> None:
    found = read_rates(table.encode(), date(2026, 11, 30))

    assert [each.row for each in found.refused] == [row]
    assert "stands under a heading without a name" in found.refused[0].reason
    assert {rate.observed_at.date() for rate in found.rates} == {date(2026, 11, 23 if row == 3 else 20)}


def test_a_line_that_is_broken_in_two_leaves_no_half_of_a_number() -> None:
    table = b"Date,USD,JPY,\n2026-11-23,1.1602,18\n1.25,\n2026-11-20,1.16,181.2,\n"

    found = read_rates(table, date(2026, 11, 30))

    assert [(each.row, each.reason) for each in found.refused] == [
        (2, "3 cells under a header of 4: this day may be cut off"),
        (3, "2 cells under a header of 4: this day may be cut off"),
    ]
    assert {rate.observed_at.date() for rate in found.rates} == {date(2026, 11, 20)}
