"""Reads the first row of a table: its separator and its columns, or which other format the file has.

Headings are compared without case, blanks and invisible characters: `variant  sku` is `Variant SKU`.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from scripts.importers.decoding import NotReadable

__all__ = ["Cells", "Heading", "find_separator", "read_heading", "show"]

SEPARATORS: Final = (",", ";", "\t", "|")
#: Excel's first line that names the separator. Excel does not count it as a row.
SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?[,;]*(\r\n|\r|\n|\Z)', re.IGNORECASE)
#: The first characters of texts that are no tables.
TEXTS: Final = (("<", "it is XML or HTML, not CSV"), ("{", "it is JSON, not CSV"), ("[", "it is JSON, not CSV"))
#: How many headings a sentence names.
NAMED: Final = 8


def show(text: str) -> str:
    """Quote a cell for a report; shorten a long one, such as a description in the wrong column."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


@lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """Return the part of a heading that is compared."""
    return "".join(
        letter
        for letter in unicodedata.normalize("NFKC", name).casefold()
        if unicodedata.category(letter)[0] not in "CZ"
    )


class Heading:
    """The columns of a table in order. Columns without a name are not read."""

    def __init__(self, names: Sequence[str]) -> None:
        """Read the cells of the first row; raise NotReadable when two of them are the same heading."""
        self.names = tuple(name.strip() for name in names)
        self._places: dict[str, int] = {}
        for place, name in enumerate(self.names):
            if not (folded := fold(name)):
                continue
            if folded in self._places:
                first = self.names[self._places[folded]]
                raise NotReadable(
                    f"it has the column {show(first)} twice"
                    + (f", the second one as {show(name)}" if name != first else "")
                    + ": leave one of them out"
                )
            self._places[folded] = place

    def __len__(self) -> int:
        return len(self.names)

    def find(self, name: str) -> int | None:
        """Return the position of a column, or None."""
        return self._places.get(fold(name))

    def named(self) -> Iterator[str]:
        """Yield the named columns, as they are written."""
        return (self.names[place] for place in self._places.values())


class Cells(Mapping[str, str]):
    """The stripped cells of a row by column. Look-ups ignore the case of a heading; iteration keeps it."""

    __slots__ = ("_heading", "_values")

    def __init__(self, heading: Heading, values: Sequence[str]) -> None:
        """Set the values: as many as the heading has columns."""
        self._heading = heading
        self._values = values

    def __getitem__(self, name: str) -> str:
        place = self._heading.find(name)
        if place is None:
            raise KeyError(name)
        return self._values[place].strip()

    def __iter__(self) -> Iterator[str]:
        return self._heading.named()

    def __len__(self) -> int:
        return sum(1 for _ in self._heading.named())


def find_separator(text: str, required: Sequence[str]) -> tuple[str, str]:
    """Return the separator of a table, and its text without Excel's `sep=` line.

    Without that line it is the separator that gives most of the required columns, with a comma first.
    """
    if found := SEPARATOR_LINE.match(text):
        return found[1], text[found.end() :]
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    wanted = {fold(name) for name in required}

    def count(separator: str) -> int:
        return len(wanted & {fold(name.strip().strip('"')) for name in first.split(separator)})

    return max(SEPARATORS, key=count), text


def read_heading(names: Sequence[str], required: Sequence[str], text: str) -> Heading:
    """Return the columns; raise NotReadable when one is duplicate, or a required one is missing."""
    heading = Heading(names)
    missing = [name for name in required if heading.find(name) is None]
    if not missing:
        return heading
    if not text.strip():
        raise NotReadable("it is empty")
    for mark, form in TEXTS:
        if text.lstrip().startswith(mark):
            raise NotReadable(form)
    named = [show(name) for name in heading.named()]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    raise NotReadable(
        f"it has no column {', '.join(missing)}; its first row is"
        f" {', '.join(named[:NAMED]) + more if named else 'without any heading'}"
    )
