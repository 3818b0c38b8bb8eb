"""Reads a CSV file row by row, numbered as a spreadsheet counts: the header is row 1, a cell with line breaks one row.

A row that is not CSV is refused and the next line goes on: one stray quote costs its row, not the rest of the file.
A row with a NUL character is refused too, since no text in the database can hold one.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.money import MAX_MINOR, parse_amount

#: Lines that one row may take: a description may have hundreds. A quote that is never closed is noticed after as many,
#: some milliseconds of reading.
ROW_LINES: Final = 10_000
#: A description may be longer than the csv module's own bound of 131,072 characters.
MAX_CELL: Final = 10_000_000
#: Plain digits, few enough that a decimal of 28 digits holds them exactly in every currency.
PRICE: Final = re.compile(r"-?[0-9]{1,17}(\.[0-9]{0,6})?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is not used, and why."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its cells by column, stripped; cells missing at its end are empty."""

    number: int
    cells: Mapping[str, str]


class NotReadable(ValueError):
    """The file as a whole cannot be used."""


def decode(content: bytes) -> tuple[str, str]:
    """Return the text and its encoding: UTF-8, with or without a mark, else latin-1.

    Latin-1 never fails and may show wrong letters: say so to whoever reads the result.
    """
    try:
        return content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def read_rows(text: str, required: Sequence[str]) -> Iterator[Row | Refusal]:
    """Yield each row that has any cell, or why it cannot be read; raise NotReadable without the required columns."""
    csv.field_size_limit(MAX_CELL)
    lines = _Lines(text)
    try:
        header = [name.strip() for name in lines.read_row() or []]
    except csv.Error as error:
        raise NotReadable(f"its first row is not CSV ({error})") from error
    missing = [name for name in required if name not in header]
    if missing:
        raise NotReadable(f"it has no column {', '.join(missing)}")
    number = 1
    while True:
        number += 1
        try:
            values = lines.read_row()
        except csv.Error as error:
            yield Refusal(number, f"not readable as CSV: {error}")
            continue
        if values is None:
            return
        if len(values) > len(header) and any(value.strip() for value in values[len(header) :]):
            yield Refusal(number, f"{len(values)} cells under a header of {len(header)}")
        elif any("\x00" in value for value in values):
            yield Refusal(number, "a NUL character in a cell")
        elif any(value.strip() for value in values):
            # Spreadsheets drop empty cells at the end of a row.
            padded = [*values, *[""] * (len(header) - len(values))]
            yield Row(number, {name: value.strip() for name, value in zip(header, padded, strict=False)})


def read_price(text: str, currency: str) -> int:
    """Return the price of a cell, exact; raise ValueError with the reason to refuse it."""
    if not text:
        raise ValueError("no price")
    if not PRICE.fullmatch(text):
        raise ValueError(f"bad price {show(text)}: digits with a decimal point")
    if text.startswith("-"):
        raise ValueError(f"bad price {show(text)}: below zero")
    try:
        minor = parse_amount(text, currency).minor
    except ValueError:
        raise ValueError(f"bad price {show(text)}: finer than the smallest unit of {currency}") from None
    if minor > MAX_MINOR:
        raise ValueError(f"bad price {show(text)}: larger than any amount that can be stored")
    return minor


def show(text: str) -> str:
    """Quote a cell for a report; a whole description in the wrong column is cut."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


class _Lines:
    """The lines of a text, fed to the csv module as far as one row may reach, and again from a row's second line."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="").readlines()
        self._at = 0
        self._stop = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._at >= self._stop:
            raise StopIteration
        self._at += 1
        return self._lines[self._at - 1]

    def read_row(self) -> list[str] | None:
        """Return the next row, None at the end; after an error the next call goes on with the line after its first."""
        start = self._at
        self._stop = min(start + ROW_LINES, len(self._lines))
        try:
            return next(csv.reader(self, strict=True), None)
        except csv.Error:
            self._at = start + 1
            raise
