"""Reads the European Central Bank's euro reference rates: XML and CSV, of one day, of 90 days, or of all since 1999.

A rate says how many units of a currency one euro buys. The rates are published around 16:00 CET on every working day
(https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates/), so a day's rates are stored
as observed at 15:00 UTC. In summer that is up to an hour after their publication, never before.

A rate that cannot be used is refused with a reason, and the others are imported. A row is a day: in a CSV file its row
as a spreadsheet counts, in an XML file its position among the days. An unread column or attribute that could change a
rate, such as a multiplier, makes the whole file unusable.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final
from xml.parsers import expat

from models.money import minor_digits
from pipeline.catalog.exchange_rates import RateRow
from scripts.importers.columns import Unread, refuse_unheaded
from scripts.importers.sheets import NotReadable, Row, RowRefusal, decode, read_rows, show

__all__ = ["NotReadable", "RateFile", "RowRefusal", "read_rates"]

SOURCE: Final = "ECB"
BASE: Final = "EUR"
PUBLISHED: Final = time(15, tzinfo=UTC)

#: Names of elements as the parser gives them: namespace, blank, name.
ENVELOPE: Final = "http://www.gesmes.org/xml/2002-08-01 Envelope"
CUBE: Final = "http://www.ecb.int/vocabulary/2002-08-01/eurofxref Cube"

ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: The daily CSV's format. Its names are always English; the parser of the standard library would use the locale.
LONG_DAY: Final = re.compile(r"([0-9]{1,2}) ([A-Za-z]+) ([0-9]{4})")
MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
#: The attributes of the bank's Cube elements. Any other could change the rate.
ATTRIBUTES: Final = frozenset({"currency", "rate", "time"})
CODE: Final = re.compile(r"[A-Z]{3}")
#: As many digits as are stored, so that none is lost.
RATE: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10})?")
#: A currency that was not quoted on the day.
NOT_QUOTED: Final = frozenset({"", "N/A"})


@dataclass(frozen=True, slots=True)
class RateFile:
    """The content of a file: the rates in file order, the refused rows, and the unread columns.

    `places` has the row of each rate, by currency and moment. `lost` counts the refused currencies that ISO 4217 does
    not list (any more): the bank's own history has a dozen.
    """

    layout: str
    encoding: str
    days: int
    rates: tuple[RateRow, ...]
    refused: tuple[RowRefusal, ...]
    places: Mapping[tuple[str, datetime], int]
    lost: int = 0
    unread: tuple[str, ...] = ()


def read_rates(content: bytes, today: date, *, ignored: Collection[str] = (), force: bool = False) -> RateFile:
    """Read the content of a file of reference rates; raise NotReadable when it is none.

    A day after `today` is refused. A currency that ISO 4217 does not list (any more) is refused once a file. A last row
    that may be cut off is accepted with `force` only. `ignored` columns may have any content.
    """
    if content.startswith(b"PK\x03\x04"):
        raise NotReadable("it is a ZIP archive: unpack it, and import the CSV file that is in it")
    reading = _RateReading(today)
    is_xml = content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
    unread: tuple[str, ...] = ()
    encoding = "utf-8"
    if is_xml:
        rows: Sequence[_Day | RowRefusal] = _read_xml(content)
    else:
        text, encoding = decode(content)
        rows, unread = _read_csv(text, ignored, force=force)
    for row in rows:
        reading.days += 1
        if isinstance(row, RowRefusal):
            reading.refused.append(row)
        else:
            reading.add_day(row)
    return RateFile(
        "xml" if is_xml else "csv",
        encoding,
        reading.days,
        tuple(reading.rates),
        tuple(reading.refused),
        reading.places,
        len(reading.unknown),
        unread,
    )


@dataclass(frozen=True, slots=True)
class _Day:
    row: int
    day: str
    rates: Sequence[tuple[str, str]]


@dataclass(slots=True)
class _RateReading:
    today: date
    days: int = 0
    rates: list[RateRow] = field(default_factory=list)
    refused: list[RowRefusal] = field(default_factory=list)
    places: dict[tuple[str, datetime], int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def add_day(self, row: _Day) -> None:
        try:
            day = _read_day(row.day, self.today)
        except ValueError as error:
            self.refused.append(RowRefusal(row.row, str(error)))
            return
        for currency, text in row.rates:
            if text in NOT_QUOTED and CODE.fullmatch(currency):
                continue
            try:
                self._add_rate(row.row, day, currency, text)
            except ValueError as error:
                self.refused.append(RowRefusal(row.row, str(error)))

    def _add_rate(self, row: int, day: date, currency: str, text: str) -> None:
        if currency == BASE:
            raise ValueError(f"a rate of {BASE} against itself")
        if not CODE.fullmatch(currency) or minor_digits(currency) is None:
            # The full history has a dozen former currencies, on thousands of days.
            if currency not in self.unknown:
                self.unknown.add(currency)
                raise ValueError(f"{show(currency)} is no currency of today's ISO 4217: all its rates are left out")
            return
        if not RATE.fullmatch(text) or not Decimal(text):
            raise ValueError(f"bad rate {show(text)} of {currency}: a number above zero with a decimal point")
        moment = datetime.combine(day, PUBLISHED)
        if before := self.places.get((currency, moment)):
            raise ValueError(f"{currency} on {day} again: row {before} has it already")
        self.places[currency, moment] = row
        self.rates.append(RateRow(BASE, currency, Decimal(text), SOURCE, moment))


def _read_day(text: str, today: date) -> date:
    found = LONG_DAY.fullmatch(text)
    try:
        if found:
            day = date(int(found[3]), MONTHS.index(found[2].lower()) + 1, int(found[1]))
        else:
            # Only the plain ISO form: the library also reads 20261123 and week dates.
            day = date.fromisoformat(text if ISO_DAY.fullmatch(text) else "")
    except ValueError:
        raise ValueError(f"bad date {show(text)}: one such as 2026-11-23 or 23 November 2026") from None
    if day > today:
        raise ValueError(f"{day} is yet to come")
    return day


def _read_csv(
    text: str, ignored: Collection[str], *, force: bool
) -> tuple[Sequence[_Day | RowRefusal], tuple[str, ...]]:
    """Return the days, and the unread columns."""
    sheet = read_rows(text, ("Date",), force=force)
    currencies = [name for name in sheet.columns if CODE.fullmatch(name)]
    # A line that is broken in two leaves its day with fewer cells and half a number.
    fewest = sheet.width
    unread = Unread(sheet.columns, ("Date", *currencies), ignored=ignored)
    days: list[_Day | RowRefusal] = []
    for row in refuse_unheaded(sheet):
        if isinstance(row, Row) and row.given < fewest:
            days.append(
                RowRefusal(row.number, f"{row.given} cells under a header of {fewest}: this day may be cut off")
            )
        elif isinstance(row, Row):
            unread.watch(row)
            days.append(_Day(row.number, row.cells["Date"], [(name, row.cells[name]) for name in currencies]))
        else:
            days.append(row)
    unread.check()
    return days, unread.columns


def _read_xml(content: bytes) -> Sequence[_Day]:
    """Return the days of an XML file, with any white space between its elements.

    Expat loads no external files. It expands entities only with a DOCTYPE, which is refused before any entity is
    declared: the bank's files have none.
    """
    cubes = _Cubes()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = cubes.refuse_doctype
    parser.StartElementHandler = cubes.start
    parser.EndElementHandler = cubes.end
    try:
        parser.Parse(content, True)  # noqa: FBT003 (takes no keywords)
    except (expat.ExpatError, LookupError, ValueError) as error:
        # The other errors: an unknown encoding, or one with several bytes for a character.
        if isinstance(error, NotReadable):
            raise
        raise NotReadable(f"its XML is broken ({error})") from error
    if not cubes.days:
        raise NotReadable("its XML has no day of rates: a Cube with a time, and in it Cubes with currency and rate")
    return cubes.days


class _Cubes:
    """Collects the days during parsing: a Cube with `time` that contains Cubes with `currency` and `rate`."""

    def __init__(self) -> None:
        self.days: list[_Day] = []
        self._rates: list[tuple[str, str]] | None = None
        self._depth = 0
        self._day_depth = 0

    def refuse_doctype(self, *_declaration: object) -> None:
        raise NotReadable("its XML has a DOCTYPE, and the bank's files have none")

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and name != ENVELOPE:
            raise NotReadable(f"its XML begins with {show(name.rpartition(' ')[2])}, not with the bank's Envelope")
        if name != CUBE:
            return
        if other := sorted(attributes.keys() - ATTRIBUTES):
            raise NotReadable(f"its XML says {show(other[0])} of a rate, which is not read and could change it")
        if "time" in attributes:
            self._rates, self._day_depth = [], self._depth
            self.days.append(_Day(len(self.days) + 1, attributes["time"].strip(), self._rates))
        elif "currency" in attributes or "rate" in attributes:
            if self._rates is None:
                raise NotReadable("its XML has a rate outside any day")
            # A missing rate is an error here, not an unquoted currency: XML files leave those out.
            pair = (attributes.get("currency", "").strip(), attributes.get("rate", "").strip() or "no rate")
            self._rates.append(pair)

    def end(self, _name: str) -> None:
        if self._depth == self._day_depth:
            self._rates, self._day_depth = None, 0
        self._depth -= 1
