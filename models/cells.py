"""Names of cells, and the order numbers of each: no two cells have a number in common.

A cell's numbers begin at a multiple of `NUMBERS` that its name alone decides, so that cells need not agree on anything.
The largest one is below 2 ** 53, up to which every JSON reader keeps an integer exact.
"""

import re
import string
from typing import Final

#: Three characters make 34,658 names: with more, a number would have more than 16 digits.
PATTERN: Final = r"[a-z][a-z0-9]{0,2}"
#: Order numbers of one cell: 500 orders a second for six years.
NUMBERS: Final = 100_000_000_000

#: Before the name of a cell, in the name of its heartbeat.
HEARTBEAT: Final = "cell "

_NAME: Final = re.compile(PATTERN, re.ASCII)
_FIRST: Final = string.ascii_lowercase
_OTHERS: Final = string.ascii_lowercase + string.digits
#: How many names have one, two and three characters.
_COUNTS: Final[tuple[int, ...]] = tuple(len(_FIRST) * int(len(_OTHERS) ** others) for others in range(3))


def check_cell_name(name: str) -> str:
    """Return the name of a cell; ValueError for any other text."""
    if _NAME.fullmatch(name) is None:
        raise ValueError("a cell is named by a lower-case letter and up to two lower-case letters or digits, as eu1")
    return name


def find_number_base(cell: str) -> int:
    """Return what is added to the drawn order numbers of a cell; 0 without cells. ValueError for no name of a cell."""
    if not cell:
        return 0
    check_cell_name(cell)
    place = _FIRST.index(cell[0])
    for character in cell[1:]:
        place = place * len(_OTHERS) + _OTHERS.index(character)
    return (1 + sum(_COUNTS[: len(cell) - 1]) + place) * NUMBERS


def find_cell(number: int) -> str:
    """Return the cell in which this order number was drawn; "" without cells. ValueError for a number of none."""
    place = number // NUMBERS - 1
    if place == -1:
        return ""
    for others, count in enumerate(_COUNTS):
        if 0 <= place < count:
            characters = []
            for _ in range(others):
                place, digit = divmod(place, len(_OTHERS))
                characters.append(_OTHERS[digit])
            return _FIRST[place] + "".join(reversed(characters))
        place -= count
    raise ValueError("no cell draws such a number")
