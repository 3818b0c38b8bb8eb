"""The characters that mean nothing in a name, and the letters that mean the same: tables for Python and the schema.

They have what every Unicode version from 14.0 has: normal forms and case folding of an assigned character never
change. Case is folded in Latin, Greek, Cyrillic and Armenian, the scripts whose capitals buyers type; letters of other
scripts with case (Cherokee, Deseret, ...) are compared as they are.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Final

#: White space of every width, the blank of Braille included. Each counts as U+0020.
BLANKS: Final = (
    *range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F,
    0x2800, 0x3000,
)  # fmt: skip

#: Controls, and what Unicode calls default ignorable: they are invisible (U+200B, direction marks, soft hyphens,
#: fillers, variation selectors, tags). They are left out. NUL is not here: no text of the database holds one.
INVISIBLE: Final = (
    *range(0x01, 0x09), *range(0x0E, 0x1C), *range(0x7F, 0x85), *range(0x86, 0xA0), 0xAD, 0x034F, 0x061C, 0x115F,
    0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F),
    *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFFC),
    *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), 0xE0001, *range(0xE0020, 0xE0080), *range(0xE0100, 0xE01F0),
)  # fmt: skip

#: Where the letters with case are that are folded.
CASED: Final = (range(0x41, 0x0590), range(0x1E00, 0x2000))

#: Turkish writes i with and without its dot, and a buyer's keyboard may have either: they are one letter in a name.
DOTLESS: Final = {0x0130: 0x69, 0x0131: 0x69}

#: Letters of Cyrillic and Greek, digits and dashes that look like another character, after case is folded. Used to
#: suggest which name may have been meant, never to decide that two names are one.
LOOK_ALIKES: Final = {
    0x430: "a", 0x432: "b", 0x435: "e", 0x43A: "k", 0x43C: "m", 0x43D: "h", 0x43E: "o", 0x440: "p", 0x441: "c",
    0x442: "t", 0x443: "y", 0x445: "x", 0x451: "e", 0x455: "s", 0x456: "i", 0x457: "i", 0x458: "j", 0x501: "d",
    0x51B: "q", 0x51D: "w", 0x3B1: "a", 0x3B2: "b", 0x3B5: "e", 0x3B7: "h", 0x3B9: "i", 0x3BA: "k", 0x3BC: "m",
    0x3BD: "v", 0x3BF: "o", 0x3C1: "p", 0x3C4: "t", 0x3C5: "u", 0x3C7: "x", 0x30: "o", 0x31: "i", 0x6C: "i",
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-"),
}  # fmt: skip


@cache
def map_case() -> dict[int, int]:
    """Return each letter with case and its folded letter, one for one: small letters, and one sigma."""
    return dict(_fold_letters()) | DOTLESS


@cache
def map_capitals() -> dict[int, int]:
    """Return the capital of each folded letter that has one: the inverse of `map_case`."""
    folds = map_case()
    return {
        small: ord(capital)
        for small in sorted(set(folds.values()))
        if len(capital := chr(small).upper()) == 1 and folds.get(ord(capital)) == small
    }


def _fold_letters() -> Iterator[tuple[int, int]]:
    for letter in (chr(code) for block in CASED for code in block):
        if unicodedata.category(letter)[0] != "L" or unicodedata.normalize("NFKC", letter) != letter:
            continue
        folded = unicodedata.normalize("NFKC", letter.casefold())
        # One for many is left to the small letter (the sharp s is written out afterwards, see texts.py).
        small = folded if len(folded) == 1 else letter.lower()
        if len(small) == 1 and small != letter:
            yield ord(letter), ord(small)
