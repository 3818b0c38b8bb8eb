"""Tables: separators, headings, unclosed quotes, and truncated files."""

import pytest

from scripts.importers.sheets import NotReadable, Row, RowRefusal, read_rows

REQUIRED = ("sku", "price")


def rows_of(text: str, *, force: bool = False) -> list[tuple[int, dict[str, str]] | RowRefusal]:
    return [
        (row.number, dict(row.cells)) if isinstance(row, Row) else row
        for row in read_rows(text, REQUIRED, single_line=("sku", "price", "units"), force=force)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "sku,price\nA,1.50\n",
        "sku;price\nA;1.50\n",
        "sku\tprice\nA\t1.50\n",
        "sku|price\r\nA|1.50\r\n",
        "sep=;\nsku;price\nA;1.50\n",
        "SEP=;\r\nsku;price\r\nA;1.50\r\n",
        '"sku";"price"\r"A";"1.50"\r',
    ],
)
def test_every_separator_gives_the_same_rows(text: str) -> None:
    assert rows_of(text) == [(2, {"sku": "A", "price": "1.50"})]


def test_a_comma_inside_a_cell_of_another_separator_stays() -> None:
    assert rows_of("sku;price\nA,B;1,50\n") == [(2, {"sku": "A,B", "price": "1,50"})]


@pytest.mark.parametrize(
    "heading", ["SKU,Price", " sku , PRICE ", "s\u200bku,\ufeffprice", "\uff33\uff2b\uff35,pri ce"]
)
def test_headings_are_found_whatever_their_case_and_blanks(heading: str) -> None:
    (row,) = read_rows(f"{heading}\nA,1\n", REQUIRED)

    assert isinstance(row, Row)
    assert (row.cells["sku"], row.cells["price"], row.cells.get("units")) == ("A", "1", None)


@pytest.mark.parametrize(
    ("heading", "reason"),
    [
        ("sku,price,price", "it has the column 'price' twice: leave one of them out"),
        ("sku,price,Price ", "it has the column 'price' twice, the second one as 'Price': leave one of them out"),
        ("sku,Note,price,no te", "it has the column 'Note' twice, the second one as 'no te': leave one of them out"),
    ],
)
def test_a_heading_that_is_there_twice_refuses_the_file(heading: str, reason: str) -> None:
    with pytest.raises(NotReadable) as refused:
        list(read_rows(f"{heading}\nA,1,2,3\n", REQUIRED))

    assert str(refused.value) == reason


def test_columns_without_a_heading_may_be_many_and_are_not_read() -> None:
    assert rows_of("sku,,price,\nA,x,1,y\n") == [(2, {"sku": "A", "price": "1"})]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        ("<table></table>", "it is XML or HTML, not CSV"),
        ('{"sku": "A"}', "it is JSON, not CSV"),
        ("name,price\nA,1\n", "it has no column sku; its first row is 'name', 'price'"),
        ("\nsku,price\n", "it has no column sku, price; its first row is without any heading"),
        ('"a" b\n', "its first row is not CSV (',' expected after '\"')"),
    ],
)
def test_other_texts_are_refused_as_a_whole(text: str, reason: str) -> None:
    with pytest.raises(NotReadable) as refused:
        list(read_rows(text, REQUIRED))

    assert str(refused.value) == reason


def test_a_quote_that_is_closed_too_late_refuses_every_row_inside_it() -> None:
    text = 'sku,title,price\na,Cup,1\nb,"Plate,2\nc,Pot,3\nd,Jug",4\ne,Pan,5\n'

    assert [(row.number, row.cells["sku"]) if isinstance(row, Row) else row for row in read_rows(text, REQUIRED)] == [
        (2, "a"),
        RowRefusal(3, "a line break in column 'title': its quote is opened in line 3 and closed by line 5"),
        RowRefusal(3, "line 4 is inside the quote that line 3 opens"),
        RowRefusal(3, "line 5 is inside the quote that line 3 opens"),
        (4, "e"),
    ]


def test_a_late_quote_in_a_cell_with_line_breaks_is_found_by_the_rows_inside_it() -> None:
    # Given a quote that a later row closes: the row would get the other row's price
    two = 'sku,note,units,price,x\na,"<p>,1,10,x\nb,<p>",2,20,x\nc,,3,30,x\n'
    three = 'sku,note,units,price,x\na,"<p>\nb,<p>,2,20,x\nc,</p>",3,30,x\nd,,4,40,x\n'

    assert [row.number if isinstance(row, Row) else "refused" for row in rows_of_note(two)] == ["refused"] * 2 + [3]
    assert [row.number if isinstance(row, Row) else "refused" for row in rows_of_note(three)] == ["refused"] * 3 + [3]


def rows_of_note(text: str) -> list[Row | RowRefusal]:
    return list(read_rows(text, REQUIRED, single_line=("sku", "units", "price")))


def test_a_note_of_many_lines_is_one_row() -> None:
    text = 'sku,note,units,price\nA,"first, with, commas, in, it\nsecond, with one\nthird",1,10\nB,,2,20\n'

    assert [row.number for row in rows_of_note(text) if isinstance(row, Row)] == [2, 3]


def test_a_last_row_without_a_line_end_is_refused_unless_forced() -> None:
    text = "sku,price\nA,1\nB,18"

    assert rows_of(text) == [
        (2, {"sku": "A", "price": "1"}),
        RowRefusal(3, "the file ends without a line end, so this row may be cut off: add one, or use --force"),
    ]
    assert rows_of(text, force=True) == [(2, {"sku": "A", "price": "1"}), (3, {"sku": "B", "price": "18"})]


def test_a_last_row_without_a_line_end_that_has_all_its_cells_and_an_empty_last_one_is_whole() -> None:
    assert rows_of("sku,price,note\nA,1,")[-1] == (2, {"sku": "A", "price": "1", "note": ""})
    assert isinstance(rows_of("sku,price,note\nA,")[-1], RowRefusal)


def test_a_last_row_shorter_than_every_one_before_is_refused_unless_forced() -> None:
    text = "sku,price,units\nA,1,1\nB,18\n\n"

    assert rows_of(text)[-1] == RowRefusal(
        3, "the last row has 2 cells, and every row before has 3: it may be cut off, so complete it, or use --force"
    )
    assert rows_of(text, force=True)[-1] == (3, {"sku": "B", "price": "18", "units": ""})


def test_short_rows_are_read_where_short_rows_are_the_custom() -> None:
    text = "sku,price,units\nA,1\nB,18,2\nC,3\n"

    assert [row[0] for row in rows_of(text) if not isinstance(row, RowRefusal)] == [2, 3, 4]
