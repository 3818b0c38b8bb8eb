"""Reads a table row by row, numbered as in a spreadsheet: the heading is row 1, a cell with line breaks is one row.

A row that is not CSV is refused, and reading continues with the next line: an unbalanced quote loses its row, not the
rest of the file. A quote that is closed lines too late loses the lines between, and each is reported. A row with a NUL
character is refused too, since PostgreSQL's text cannot hold one.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.money import MAX_MINOR, parse_amount
from scripts.importers.decoding import NotReadable, decode
from scripts.importers.headings import Cells, Heading, find_separator, fold, read_heading, show

__all__ = ["NotReadable", "Row", "RowRefusal", "Sheet", "decode", "read_price", "read_rows", "show"]

#: Lines that one row may have: a description may have hundreds. A quote that is never closed is found after so many,
#: some milliseconds of reading.
ROW_LINES: Final = 10_000
#: A description may be longer than the csv module's own bound of 131,072 characters.
MAX_CELL: Final = 10_000_000
#: Separators after an open quote from which its line counts as a whole row. Fewer may be commas of a sentence.
ROW_SEPARATORS: Final = 3
#: Plain digits, few enough that a decimal of 28 digits holds them exactly in every currency.
PRICE: Final = re.compile(r"-?[0-9]{1,17}(\.[0-9]{0,6})?")


@dataclass(frozen=True, slots=True)
class RowRefusal:
    """A refused row and the reason."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its stripped cells by column; missing cells at its end are empty.

    `unheaded` has the values under empty headings; `given` is the number of cells in the file.
    """

    number: int
    cells: Mapping[str, str]
    unheaded: tuple[str, ...] = ()
    given: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: its columns as they are written, and its rows, read lazily.

    `width` is the number of headings, empty ones included.
    """

    columns: tuple[str, ...]
    rows: Iterator[Row | RowRefusal]
    width: int = 0

    def __iter__(self) -> Iterator[Row | RowRefusal]:
        """Iterate over the rows, once."""
        return self.rows


def read_rows(
    text: str, required: Sequence[str], *, single_line: Collection[str] | None = None, force: bool = False
) -> Sheet:
    """Read a table; raise NotReadable when a required column is missing, or a column is duplicate.

    Each row that has any value is yielded, or a refusal with the reason. Only columns outside `single_line` may hold
    line breaks, none by default. The last row is refused when the file looks cut off there: its line has no end (in a
    table with `single_line`: after a cell that is not empty), or fewer cells than every row before. `force` accepts it.
    """
    csv.field_size_limit(MAX_CELL)
    separator, text = find_separator(text, required)
    lines = _Lines(text, separator)
    try:
        names = lines.read_row() or []
    except csv.Error as error:
        raise NotReadable(f"its first row is not CSV ({error})") from error
    heading = read_heading(names, required, text)
    singles = None if single_line is None else frozenset(fold(name) for name in single_line)
    return Sheet(tuple(heading.named()), _Reader(lines, heading, singles, force=force).read(), len(heading))


def read_price(text: str, currency: str) -> int:
    """Return the exact price of a cell; raise ValueError with the reason to refuse it."""
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


class _Lines:
    """Feeds lines to the csv module, at most ROW_LINES for a row, and again from the second line of a broken row."""

    def __init__(self, text: str, separator: str) -> None:
        self.lines = io.StringIO(text, newline="").readlines()
        self.separator = separator
        self.start = 0
        self.at = 0
        self._stop = 0
        filled = [number for number, line in enumerate(self.lines) if line.strip()]
        self._end = filled[-1] + 1 if filled else 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.at >= self._stop:
            raise StopIteration
        self.at += 1
        return self.lines[self.at - 1]

    @property
    def is_last(self) -> bool:
        """Whether the current row is the last one that is not empty."""
        return self.at >= self._end

    @property
    def is_ended(self) -> bool:
        """Whether the file ends with a line end."""
        return self.lines[-1].endswith(("\n", "\r"))

    def read_row(self) -> list[str] | None:
        """Return the next row, None at the end; after an error the next call starts at the broken row's second line."""
        self.start = self.at
        self._stop = min(self.start + ROW_LINES, len(self.lines))
        try:
            return next(csv.reader(self, delimiter=self.separator, strict=True), None)
        except csv.Error:
            self.at = self.start + 1
            raise


class _Reader:
    """Checks each row of a table."""

    def __init__(self, lines: _Lines, heading: Heading, singles: frozenset[str] | None, *, force: bool) -> None:
        self._lines = lines
        self._heading = heading
        self._singles = singles
        self._force = force
        self._full = 0
        self._short = 0

    def read(self) -> Iterator[Row | RowRefusal]:
        """Yield each row that has any value, or its refusal."""
        number = 1
        while True:
            number += 1
            try:
                values = self._lines.read_row()
            except csv.Error as error:
                yield RowRefusal(number, f"not readable as CSV: {error}")
                continue
            if values is None:
                return
            if (column := self._find_late_quote(values)) is not None:
                yield from self._refuse_lines(number, column)
            elif len(values) > len(self._heading) and any(value.strip() for value in values[len(self._heading) :]):
                yield RowRefusal(number, f"{len(values)} cells under a header of {len(self._heading)}")
            elif any("\x00" in value for value in values):
                yield RowRefusal(number, "a NUL character in a cell")
            elif any(value.strip() for value in values):
                yield self._check_end(number, values)

    def _check_end(self, number: int, values: list[str]) -> Row | RowRefusal:
        """Return the row, or a refusal when the file looks cut off in it."""
        missing = len(self._heading) - len(values)
        if self._lines.is_last and not self._force:
            # Real product exports have no line end after the last row: it has all its cells, and the last one is empty.
            is_whole = self._singles is not None and missing <= 0 and not values[-1].strip()
            if not self._lines.is_ended and not is_whole:
                return RowRefusal(
                    number, "the file ends without a line end, so this row may be cut off: add one, or use --force"
                )
            if missing > 0 and self._full and not self._short:
                return RowRefusal(
                    number,
                    f"the last row has {len(values)} cells, and every row before has {len(self._heading)}: it may be"
                    " cut off, so complete it, or use --force",
                )
        self._full += missing <= 0
        self._short += missing > 0
        # Spreadsheets drop empty cells at the end of a row.
        unheaded = tuple(
            value for name, value in zip(self._heading.names, values, strict=False) if not name and value.strip()
        )
        return Row(number, Cells(self._heading, [*values, *[""] * missing]), unheaded, len(values))

    def _find_late_quote(self, values: list[str]) -> str | None:
        """Return the column whose quote is closed too late, None when there is none."""
        if self._lines.at - self._lines.start <= 1:
            return None
        for name, value in zip(self._heading.names, values, strict=False):
            if ("\n" in value or "\r" in value) and (
                self._singles is None or fold(name) in self._singles or self._holds_rows(name, value)
            ):
                return name
        return None

    def _holds_rows(self, name: str, value: str) -> bool:
        """Return whether a cell that may have line breaks contains rows of this table."""
        size, separator = len(self._heading), self._lines.separator
        behind = size - 1 - self._heading.names.index(name)
        inner = value.splitlines()
        if behind >= ROW_SEPARATORS and inner[0].count(separator) == behind:
            return True
        return size > ROW_SEPARATORS and any(
            line.count(separator) >= size - 1 and len(next(csv.reader([line], delimiter=separator))) == size
            for line in inner[1:-1]
        )

    def _refuse_lines(self, number: int, column: str) -> Iterator[RowRefusal]:
        """Refuse every line of a row whose quote is closed too late: to a spreadsheet they are one row."""
        first, last = self._lines.start + 1, self._lines.at
        yield RowRefusal(
            number,
            f"a line break in column {show(column)}: its quote is opened in line {first} and closed by line {last}",
        )
        for line in range(first + 1, last + 1):
            if self._lines.lines[line - 1].strip():
                yield RowRefusal(number, f"line {line} is inside the quote that line {first} opens")
