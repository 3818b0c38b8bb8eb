"""Texts without invisible characters: the base of every normaliser."""

import re
import unicodedata
from functools import cache
from typing import Final

from models.identifiers.characters import BLANKS, INVISIBLE, map_case

#: Joiners that shape Persian, Indic scripts and emoji: seen in a text, without meaning in a name.
JOINERS: Final = (0x200C, 0x200D)
#: Variation selectors choose between an emoji and its plain sign.
SELECTORS: Final = tuple(range(0xFE00, 0xFE10))
#: Unassigned, private, and half of a surrogate pair: two programs need not agree about what they are.
NO_CHARACTERS: Final = frozenset({"Cn", "Co", "Cs"})

_BLANK_RUN: Final = re.compile(" {2,}")
_DOTTED_I: Final = re.compile("i\u0307+")
_VISIBLE: Final = dict.fromkeys(BLANKS, " ") | dict.fromkeys(INVISIBLE)
_TEXT: Final = {code: to for code, to in _VISIBLE.items() if code not in (*JOINERS, *SELECTORS)}


def normalize_text(text: str, *, limit: int = 1000) -> str:
    """Return a text to be read by people, such as a title: NFC, no controls, no direction marks, blanks once.

    `limit`: its longest length, in characters. Raises ValueError for one that is longer, or that is blank.
    """
    check_characters(text, limit)
    return check_filled(
        squeeze(unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).translate(_TEXT))), limit
    )


def clean(text: str, *, limit: int) -> str:
    """Return a name as it is seen: NFC, invisible characters left out, white space as single blanks, none around it."""
    check_characters(text, limit)
    if not is_plain(text):
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).translate(_VISIBLE))
    return check_filled(squeeze(text), limit)


def fold(text: str, *, limit: int, blanks: bool = True) -> str:
    """Return a name as it is compared: as `clean`, in NFKC, without case, the sharp s written out.

    `blanks`: whether white space inside the name counts; False leaves it out.
    """
    check_characters(text, limit)
    return check_filled(fold_characters(text, blanks=blanks), limit)


def fold_characters(text: str, *, blanks: bool = True) -> str:
    """Fold without any bound. The second NFKC puts together what an invisible character kept apart.

    A dot above a small i is left out, before a third: programs write the small letter of U+0130 so, and the capital I
    and the dot would be U+0130 again.
    """
    if is_plain(text):
        return squeeze(text.lower()) if blanks else text.lower().replace(" ", "")
    folded = unicodedata.normalize("NFKC", text).translate(_folds(blanks=blanks)).replace("ß", "ss")
    folded = unicodedata.normalize("NFKC", folded)
    return squeeze(unicodedata.normalize("NFKC", _DOTTED_I.sub("i", folded)))


def squeeze(text: str) -> str:
    """Leave one blank where there are several, and none at the ends."""
    return _BLANK_RUN.sub(" ", text).strip(" ")


def is_plain(text: str) -> bool:
    """Say whether a text is printable ASCII, as nearly all names are: it has no character to replace."""
    return text.isascii() and text.isprintable()


def check_characters(text: str, limit: int) -> None:
    """Raise ValueError for a text that is too long, or has what is no character."""
    if len(text) > limit:
        raise ValueError(f"it has {len(text)} characters: send at most {limit}")
    if is_plain(text):
        return
    for character in text:
        if character == "\x00":
            raise ValueError("it contains a NUL character: leave it out")
        if unicodedata.category(character) in NO_CHARACTERS:
            raise ValueError(f"it contains U+{ord(character):04X}, which is no character: leave it out")


def check_filled(text: str, limit: int) -> str:
    """Return the text; raise ValueError when nothing that can be seen is left of it, or more than fits."""
    if not text:
        raise ValueError("it is blank: send a name that can be seen, or leave it out")
    if len(text) > limit:
        raise ValueError(f"it has {len(text)} characters: send at most {limit}")
    return text


@cache
def _folds(*, blanks: bool) -> dict[int, str | int | None]:
    return {**_VISIBLE, **({} if blanks else dict.fromkeys(BLANKS)), **map_case()}
