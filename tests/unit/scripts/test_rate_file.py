"""The European Central Bank's reference rates, in each layout that it publishes."""

import gzip
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from pipeline.catalog.exchange_rates import RateRow
from scripts.importers.exchange_rates import NotReadable, RowRefusal, read_rates
from tests.factories.reference_rates import DAILY_CSV, DAILY_XML, HISTORY_CSV, NINETY_DAYS_XML, write_xml

TODAY = date(2026, 11, 23)


def rate(currency: str, text: str, *, day: int = 23) -> RateRow:
    return RateRow("EUR", currency, Decimal(text), "ECB", datetime(2026, 11, day, 15, tzinfo=UTC))


def test_the_daily_xml() -> None:
    found = read_rates(DAILY_XML, TODAY)

    assert (found.layout, found.days, found.refused) == ("xml", 1, ())
    assert found.rates == (rate("USD", "1.0512"), rate("JPY", "161.85"), rate("IDR", "17487.21"), rate("ISK", "148.90"))
    # All published digits are kept, also a final zero
    assert str(found.rates[3].rate) == "148.90"


def test_the_xml_of_90_days_is_one_line_and_quotes_its_attributes_otherwise() -> None:
    found = read_rates(NINETY_DAYS_XML, TODAY)

    assert (found.days, found.refused) == (2, ())
    assert found.rates == (
        rate("USD", "1.0512"),
        rate("JPY", "161.85"),
        rate("USD", "1.0498", day=20),
        rate("JPY", "161.02", day=20),
    )


def test_the_daily_csv_writes_the_month_out_and_ends_in_a_comma() -> None:
    found = read_rates(DAILY_CSV, TODAY)

    assert (found.layout, found.days, found.refused) == ("csv", 1, ())
    assert found.rates == (rate("USD", "1.0512"), rate("JPY", "161.85"), rate("ISK", "148.90"))


def test_the_full_csv_skips_unquoted_rates_and_names_a_former_currency_once() -> None:
    found = read_rates(HISTORY_CSV, TODAY)

    assert found.days == 3
    assert found.rates == (
        rate("USD", "1.0512"),
        rate("JPY", "161.85"),
        rate("USD", "1.0498", day=20),
        RateRow("EUR", "USD", Decimal("1.2939"), "ECB", datetime(2008, 5, 24, 15, tzinfo=UTC)),
        RateRow("EUR", "JPY", Decimal("131.25"), "ECB", datetime(2008, 5, 24, 15, tzinfo=UTC)),
    )
    assert found.refused == (RowRefusal(3, "'LTL' is no currency of today's ISO 4217: all its rates are left out"),)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_is_nothing(mark: bytes) -> None:
    assert len(read_rates(mark + DAILY_XML, TODAY).rates) == 4
    assert len(read_rates(mark + DAILY_CSV, TODAY).rates) == 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "'no rate'"),
        ("abc", "'abc'"),
        ("0", "'0'"),
        ("0.0000", "'0.0000'"),
        ("-1.05", "'-1.05'"),
        ("1,05", "'1,05'"),
        ("1e5", "'1e5'"),
        ("NaN", "'NaN'"),
        ("Infinity", "'Infinity'"),
        ("1.12345678901", "'1.12345678901'"),
        ("12345678901", "'12345678901'"),
        ("١", "'١'"),  # noqa: RUF001 (a digit that is none of ASCII's is what is tested)
    ],
)
def test_a_bad_rate_is_refused_and_the_others_go_on(text: str, shown: str) -> None:
    found = read_rates(write_xml(("2026-11-23", [("USD", text), ("JPY", "161.85")])), TODAY)

    assert found.rates == (rate("JPY", "161.85"),)
    assert found.refused == (RowRefusal(1, f"bad rate {shown} of USD: a number above zero with a decimal point"),)


@pytest.mark.parametrize(
    ("currency", "reason"),
    [
        ("EUR", "a rate of EUR against itself"),
        ("XAU", "'XAU' is no currency of today's ISO 4217: all its rates are left out"),
        ("usd", "'usd' is no currency of today's ISO 4217: all its rates are left out"),
        ("", "'' is no currency of today's ISO 4217: all its rates are left out"),
    ],
)
def test_a_currency_that_is_none_is_refused(currency: str, reason: str) -> None:
    found = read_rates(write_xml(("2026-11-23", [(currency, "1.5"), ("JPY", "161.85")])), TODAY)

    assert (found.rates, found.refused) == ((rate("JPY", "161.85"),), (RowRefusal(1, reason),))


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2026-11-24", "2026-11-24 is yet to come"),
        ("24 November 2026", "2026-11-24 is yet to come"),
        ("2026-02-30", "bad date '2026-02-30': one such as 2026-11-23 or 23 November 2026"),
        ("20261123", "bad date '20261123': one such as 2026-11-23 or 23 November 2026"),
        ("2026-W48-1", "bad date '2026-W48-1': one such as 2026-11-23 or 23 November 2026"),
        ("23/11/2026", "bad date '23/11/2026': one such as 2026-11-23 or 23 November 2026"),
        ("23 Novembre 2026", "bad date '23 Novembre 2026': one such as 2026-11-23 or 23 November 2026"),
        ("", "bad date '': one such as 2026-11-23 or 23 November 2026"),
    ],
)
def test_a_bad_day_is_refused_once_and_the_others_go_on(day: str, reason: str) -> None:
    in_xml = read_rates(write_xml((day, [("USD", "1"), ("JPY", "2")]), ("2026-11-23", [("USD", "1.0512")])), TODAY)
    in_csv = read_rates(f"Date,USD,JPY,\n{day},1,2,\n2026-11-23,1.0512,N/A,\n".encode(), TODAY)

    assert in_xml.rates == in_csv.rates == (rate("USD", "1.0512"),)
    assert in_xml.refused == (RowRefusal(1, reason),)
    assert in_csv.refused == (RowRefusal(2, reason),)


def test_a_duplicate_rate_is_imported_once() -> None:
    within = read_rates(write_xml(("2026-11-23", [("USD", "1.0512"), ("USD", "9")])), TODAY)
    across = read_rates(b"Date,USD,\n2026-11-23,1.0512,\n23 November 2026,9,\n", TODAY)

    assert within.rates == across.rates == (rate("USD", "1.0512"),)
    assert within.refused == (RowRefusal(1, "USD on 2026-11-23 again: row 1 has it already"),)
    assert across.refused == (RowRefusal(3, "USD on 2026-11-23 again: row 2 has it already"),)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"Day,USD\n2026-11-23,1\n", "it has no column Date"),
        (b"Date,USD,USD\n2026-11-23,1,2\n", "it has the column 'USD' twice: leave one of them out"),
        (b"Date,USD,JPY per 100\n2026-11-23,1,2\n", "it has columns that are not read and could change what is: 'JPY"),
        (b"Date,Base,USD\n2026-11-23,GBP,2\n", "it has columns that are not read and could change what is: 'Base'"),
        (b"Date,usd\n2026-11-23,2\n", "it has columns that are not read and could change what is: 'usd'"),
        (
            DAILY_XML.replace(b"rate='161.85'", b"rate='16185' multiplier='100'"),
            "its XML says 'multiplier' of a rate, which is not read and could change it",
        ),
        (DAILY_XML[:-40], "its XML is broken (unclosed token"),
        (DAILY_XML[: DAILY_XML.index(b"<Cube currency='IDR'")], "its XML is broken (no element found"),
        (gzip.compress(DAILY_CSV, mtime=0), "it is a gzip file: unpack it with gunzip, and import what comes out"),
        (b"PK\x03\x04....", "it is a ZIP archive: unpack it, and import the CSV file that is in it"),
        (b"<html><body/></html>", "its XML begins with 'html', not with the bank's Envelope"),
        (write_xml(), "its XML has no day of rates: a Cube with a time, and in it Cubes with currency and rate"),
        (DAILY_XML[:300], "its XML is broken"),
        (DAILY_XML.replace(b"UTF-8", b"UTF-99"), "its XML is broken"),
        (DAILY_XML.replace(b" time='2026-11-23'", b""), "its XML has a rate outside any day"),
    ],
)
def test_other_files_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(NotReadable) as refused:
        read_rates(content, TODAY)

    assert str(refused.value).startswith(reason)


def test_a_doctype_is_refused_before_an_entity_is_expanded() -> None:
    # Given entities that would grow to a billion characters, and one that would read a file of this machine
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    theft = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>'

    for doctype in (bomb, theft):
        head, rest = DAILY_XML.split(b"\n", 1)
        with pytest.raises(NotReadable, match="has a DOCTYPE"):
            read_rates(head + doctype + rest.replace(b"Reference rates", b"&b;&f;"), TODAY)
