"""Make text from outside printable: nothing in it can act on a terminal, a page or a log, or hide in one."""

import unicodedata
from typing import Final

#: Longer text is cut on a screen; the whole of it is in the database, and in `--json`.
MOST_CHARACTERS: Final = 2000

#: Characters written as their code: control characters (ESC, NUL, line breaks, C1), invisible ones and those that
#: change the direction of text, line and paragraph separators, surrogates, and what Unicode has not defined.
HIDDEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Cn", "Co"})


def make_printable(value: object, *, most: int | None = MOST_CHARACTERS, keep: str = "") -> str:
    r"""Return text in one line, with invisible characters as their code (`\x1b`, `\u202e`), cut after `most`.

    Characters in `keep` stay as they are. A second call changes nothing.
    """
    text = str(value)
    if most is not None and len(text) > most:
        text = f"{text[:most]}… ({len(text)} characters)"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_show(each) if each not in keep and unicodedata.category(each) in HIDDEN else each for each in text)


def show_in_page(value: object) -> object:
    """Return what a page shows for this value: text keeps its line breaks, HTML stays as it is."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return make_printable(value, most=None, keep="\n\t\r")


def _show(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
