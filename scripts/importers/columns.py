"""Refuses a file with unknown columns that could narrow or change its content.

A rate for one postcode, read without its postcode, would be charged in the whole state. So an unknown column counts as
important, unless it is a note, has only blank cells, or is named by `--ignore-column`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from scripts.importers.headings import fold, show
from scripts.importers.sheets import NotReadable, Row, RowRefusal

#: Columns of remarks, which change no number.
NOTES: Final = frozenset(
    {"comment", "comments", "description", "id", "link", "memo", "note", "notes", "remark", "remarks", "source", "url"}
)
#: How many columns a sentence names.
NAMED: Final = 8


def refuse_unheaded(rows: Iterable[Row | RowRefusal]) -> Iterator[Row | RowRefusal]:
    """Refuse each row with a value under an empty heading: an extra comma moves its cells there."""
    for row in rows:
        if isinstance(row, Row) and row.unheaded:
            yield RowRefusal(row.number, f"{show(row.unheaded[0].strip())} stands under a heading without a name")
        else:
            yield row


class Unread:
    """The columns of one table that its importer does not read."""

    def __init__(
        self,
        columns: Collection[str],
        known: Collection[str],
        *,
        ignored: Collection[str] = (),
        called: Mapping[str, str] | None = None,
    ) -> None:
        """Compare the columns of a table with the known ones; `ignored` ones may have any content.

        `called` maps headings of other programs to this project's names. Raises NotReadable for an ignored column that
        does not exist, or that is read.
        """
        self._called = {fold(name): own for name, own in (called or {}).items()}
        read, there = {fold(name) for name in known}, {fold(name) for name in columns}
        for name in ignored:
            if fold(name) not in there:
                raise NotReadable(f"it has no column {show(name)} to ignore: leave --ignore-column {name} out")
            if fold(name) in read:
                raise NotReadable(f"the column {show(name)} is read: it cannot be ignored")
        self.columns = tuple(name for name in columns if fold(name) not in read)
        harmless = NOTES | {fold(name) for name in ignored}
        self._watched = [name for name in self.columns if fold(name) not in harmless]
        self._filled: dict[str, int] = {}

    def watch(self, row: Row) -> None:
        """Note which unread columns have a value in this row."""
        for name in self._watched:
            if name not in self._filled and row.cells[name]:
                self._filled[name] = row.number

    def check(self) -> None:
        """Raise NotReadable when an important unread column has a value."""
        if not self._filled:
            return
        names = list(self._filled)
        shown = ", ".join(f"{show(name)}{self._explain(name)}" for name in names[:NAMED])
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        first = names[0]
        raise NotReadable(
            f"it has columns that are not read and could change what is: {shown}{more} (row {self._filled[first]} has"
            f" something in {show(first)}); take them out together with the rows that hold for a part only, or leave"
            f' one out as it is with --ignore-column "{first}"'
        )

    def _explain(self, name: str) -> str:
        own = self._called.get(fold(name))
        return f" (called {own} here)" if own is not None else ""
