"""Damaged tables of rates and invoices: each row is read as it was written, or refused.

Damage that leaves a valid row, such as another digit, cannot be detected here: see the tests of rates that are far from
the previous one.
"""

from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalog.tax_rates import TaxRow
from scripts.importers.exchange_rates import read_rates
from scripts.importers.sheets import NotReadable
from scripts.importers.tax_rates import read_taxes
from scripts.invoice_replay.invoices import read_invoices
from tests.factories.reference_rates import DAILY_XML

TODAY = date(2026, 11, 30)
#: Inserted bytes: separators, quotes, line ends, invisible and broken characters.
NOISE = st.sampled_from(
    [b",", b'"', b"\n", b"\r\n", b'","', b"\n\n", b";", b"\t", b"\x00", b"\xff", b" ", "\u200b".encode()]
)

RATES = b"Date,USD,JPY,GBP,\n" + b"".join(
    f"2026-11-{day:02},1.{day:02}61,18{day % 10}.{day:02},0.85{day:02},\n".encode() for day in range(2, 14)
)
TAXES = b"country,region,category,name,rate,on_shipping,reverse_charge,valid_from,valid_until\n" + b"".join(
    f'{country},,{category},"VAT, {country}",{rate}%,true,false,2026-01-01,\n'.encode()
    for country, rate in (("DE", "19"), ("FR", "20"), ("IT", "22"), ("PL", "23"))
    for category in ("", "books")
)
INVOICES = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n" + b"".join(
    f'{number},S{line},"A ""big"" cup, {line}",{line},12/1/2010 8:26,{line}.50,17850,France\n'.encode()
    for number in (536365, 536366)
    for line in (1, 2, 3)
)


def find_rates(content: bytes) -> set[Hashable]:
    return {(row.quote, row.rate, row.observed_at) for row in read_rates(content, TODAY).rates}


def find_taxes(content: bytes) -> set[Hashable]:
    return set(read_taxes(content).taxes)


def find_lines(content: bytes) -> set[Hashable]:
    return {
        (invoice.number, invoice.customer, invoice.country, line.code, line.title, line.quantity, line.price_minor)
        for invoice in read_invoices(content, "GBP").invoices
        for line in invoice.lines
    }


#: Rates of one day, and fields of a line in `find_lines`.
WIDTH, INVOICE_FIELDS = 3, 7

Reader = Callable[[bytes], set[Hashable]]
TABLES: list[tuple[bytes, Reader]] = [(RATES, find_rates), (TAXES, find_taxes), (INVOICES, find_lines)]


def read(find: Reader, content: bytes) -> set[Hashable]:
    """Return the rows that are read; empty when the file is refused as a whole."""
    with suppress(NotReadable):
        return find(content)
    return set()


@given(st.sampled_from(TABLES), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_a_piece_of_a_file_has_no_other_rows_than_the_file(
    table: tuple[bytes, Reader], start: float, end: float
) -> None:
    content, find = table
    heading = content.index(b"\n") + 1
    first, last = sorted(heading + int(at * (len(content) - heading)) for at in (start, end))

    # Truncated, and with a piece missing in its middle
    assert read(find, content[:last]) <= find(content)
    # The rest of two rows may look like one: only that row may be new
    assert len({strip_texts(row) for row in read(find, content[:first] + content[last:]) - find(content)}) <= WIDTH


@given(st.sampled_from(TABLES), st.floats(0, 1), NOISE)
@settings(max_examples=500, derandomize=True, deadline=None)
def test_noise_refuses_rows_and_changes_no_value(table: tuple[bytes, Reader], at: float, noise: bytes) -> None:
    content, find = table
    whole = find(content)
    place = int(at * len(content))
    damaged = content[:place] + noise + content[place:]

    for row in read(find, damaged) - whole:
        # A text may contain the noise; a number, a code or a day may not.
        assert strip_texts(row) in {strip_texts(each) for each in whole}, row


@given(st.floats(0, 1))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_xml_that_is_cut_off_is_refused_whole(end: float) -> None:
    content = DAILY_XML.rstrip()

    assert read(find_rates, content[: int(end * (len(content) - 1))]) == set()


def strip_texts(row: Hashable) -> object:
    """Return the row without free texts: numbers, codes, days, booleans."""
    if isinstance(row, TaxRow):
        return replace(row, name="any", region=None, category=None)
    assert isinstance(row, tuple)
    return (row[2], *row[5:]) if len(row) == INVOICE_FIELDS else row
