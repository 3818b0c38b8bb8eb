"""Reading invoice files: which rows are used, and which are refused with which reason."""

import pytest

from scripts.invoice_replay.invoices import Invoice, InvoiceLine, NotReadable, RowRefusal, read_invoices

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def read(rows: str, currency: str = "GBP", header: str = HEADER) -> tuple[list[Invoice], list[RowRefusal]]:
    found = read_invoices((header + rows).encode(), currency)
    assert found.encoding == "utf-8"
    return list(found.invoices), list(found.refused)


def row(**cells: str) -> str:
    """Return a usable row with some cells changed."""
    usual = {
        "number": "1",
        "code": "A",
        "title": "KETTLE",
        "quantity": "2",
        "date": "12/1/2010 8:26",
        "price": "2.55",
        "customer": "17850",
        "country": "United Kingdom",
    }
    return ",".join({**usual, **cells}.values()) + "\n"


def test_rows_of_one_number_are_one_invoice_wherever_they_stand() -> None:
    invoices, refused = read(
        row(number="536365", code="85123A", title="WHITE HANGING HEART ", quantity="6")
        + row(number="536366", customer="", country="EIRE", price="0")
        + row(number="536365", code="85123A", title="", quantity="1", price="3.1")
    )
    assert refused == []
    assert invoices == [
        Invoice(
            "536365",
            "17850",
            "GB",
            (
                InvoiceLine(2, "85123A", "WHITE HANGING HEART", 6, 255),
                InvoiceLine(4, "85123A", "85123A", 1, 310),
            ),
        ),
        Invoice("536366", None, "IE", (InvoiceLine(3, "A", "KETTLE", 2, 0),)),
    ]
    assert [invoice.total_minor for invoice in invoices] == [1840, 0]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"number": ""}, "no invoice number"),
        ({"number": "C536379"}, "cancelled invoice 'C536379'"),
        ({"number": "c536379"}, "cancelled invoice 'c536379'"),
        ({"number": "9" * 201}, "an invoice number of 201 characters: at most 200 fit"),
        ({"code": " "}, "no stock code"),
        ({"code": "A" * 256}, "a stock code of 256 characters: at most 255 fit"),
        ({"code": "A\x00"}, "a NUL character in a cell"),
        ({"title": "T" * 1001}, "a description of 1001 characters: at most 1000 fit"),
        ({"quantity": ""}, "no quantity"),
        ({"quantity": "-12"}, "negative quantity -12: a return, not a sale"),
        ({"quantity": "0"}, "quantity 0: nothing to sell"),
        ({"quantity": "1.5"}, "bad quantity '1.5': a whole number of at most ten digits"),
        ({"quantity": "9" * 5000}, f"bad quantity '{'9' * 57}...': a whole number of at most ten digits"),
        ({"quantity": "2147483648"}, "bad quantity 2147483648: at most 2147483647"),
        ({"price": ""}, "no price"),
        ({"price": "-11062.06"}, "bad price '-11062.06': below zero"),
        ({"price": "2.555"}, "bad price '2.555': finer than the smallest unit of GBP"),
        ({"price": "1e3"}, "bad price '1e3': digits with a decimal point"),
        ({"price": "£2"}, "bad price '£2': digits with a decimal point"),
        ({"price": "9" * 17}, "bad price '99999999999999999': larger than any amount that can be stored"),
        ({"country": ""}, "no country"),
        ({"country": "Unspecified"}, "country 'Unspecified': no place known to send to"),
        ({"customer": "8" * 256}, "a customer id of 256 characters: at most 255 fit"),
        ({"country": "France,more"}, "9 cells under a header of 8"),
        ({"title": '"a "quoted" word"'}, "not readable as CSV: ',' expected after '\"'"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_row_that_cannot_be_used_is_refused_and_costs_its_invoice_only_itself(
    cells: dict[str, str], reason: str
) -> None:
    invoices, refused = read(row() + row(**cells) + row(code="B"))
    assert refused == [RowRefusal(3, reason)]
    assert [(invoice.number, [line.code for line in invoice.lines]) for invoice in invoices] == [("1", ["A", "B"])]


def test_an_invoice_that_loses_all_its_rows_is_none() -> None:
    invoices, refused = read(row(number="1", quantity="-1") + row(number="2") + row(number="1", price="x"))
    assert [invoice.number for invoice in invoices] == ["2"]
    assert [refusal.row for refusal in refused] == [2, 4]


def test_an_invoice_goes_to_one_country() -> None:
    invoices, refused = read(row(country="France") + row(country="Norway") + row(country="FRANCE"))
    assert refused == [RowRefusal(3, "country 'Norway': in row 2 the same invoice goes elsewhere")]
    assert [(invoice.country, len(invoice.lines)) for invoice in invoices] == [("FR", 2)]


def test_a_quote_that_is_never_closed_costs_one_row() -> None:
    invoices, refused = read(row() + row(title='"KETTLE') + row(number="2") * 200 + row(number="3"))
    assert [(invoice.number, len(invoice.lines)) for invoice in invoices] == [("1", 1), ("2", 200), ("3", 1)]
    assert refused == [RowRefusal(3, "not readable as CSV: unexpected end of data")]


def test_rows_are_counted_as_a_spreadsheet_does() -> None:
    # given a cell of two lines (which no cell of an invoice may have), an empty row and a row of empty cells
    invoices, refused = read(row(title='"TWO\nLINES"') + "\n" + ",,,,,,,\n" + row(price="x"))
    assert invoices == []
    assert [refusal.row for refusal in refused] == [2, 2, 5]


def test_prices_follow_the_currency() -> None:
    invoices, refused = read(row(price="1200") + row(price="12.5"), currency="JPY")
    assert [line.price_minor for line in invoices[0].lines] == [1200]
    assert refused == [RowRefusal(3, "bad price '12.5': finer than the smallest unit of JPY")]


def test_a_customer_number_that_became_a_decimal_is_a_number_again() -> None:
    invoices, _ = read(row(customer="17850.0"))
    assert [invoice.customer for invoice in invoices] == ["17850"]


def test_columns_may_stand_in_any_order_and_the_optional_ones_be_missing() -> None:
    invoices, refused = read("France,3,1,A,9\n", header=" Country ,Quantity,InvoiceNo,StockCode,UnitPrice\n")
    assert (invoices, refused) == ([Invoice("1", None, "FR", (InvoiceLine(2, "A", "A", 3, 900),))], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"InvoiceNo,StockCode,Quantity\n1,A,2\n", "it has no column UnitPrice, Country"),
        (b'"a "b"\n', "its first row is not CSV (',' expected after '\"')"),
        (bytes(range(256)), "it is neither UTF-8 nor UTF-16 nor windows-1252 (byte 0x81 in line 2): save it as UTF-8"),
    ],
    ids=["empty", "columns-missing", "no-csv", "binary"],
)
def test_a_file_that_is_no_invoice_file_is_refused_as_a_whole(content: bytes, reason: str) -> None:
    with pytest.raises(NotReadable) as caught:
        read_invoices(content, "GBP")
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("codec", "encoding"), [("utf-8-sig", "utf-8"), ("utf-8", "utf-8"), ("cp1252", "windows-1252")], ids=str
)
def test_the_encoding_is_found_and_reported(codec: str, encoding: str) -> None:
    found = read_invoices((HEADER + row(title="CAFÉ £")).encode(codec), "GBP")
    assert found.encoding == encoding
    assert [line.title for invoice in found.invoices for line in invoice.lines] == ["CAFÉ £"]
