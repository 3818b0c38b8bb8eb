"""Card numbers: found in any text, and taken out of it. A payment comes here as its provider's token.

What looks like a card number: a word of 13 to 19 digits that begins as those of the card schemes do (2 to 6) and passes
the Luhn check. Single spaces or dashes may stand between its digits, and other groups of digits beside it; these go
with it, they are its expiry date or its security code. A UUID never is one, nor a word that has letters in it.

One in eighteen numbers of that length looks so by chance, barcodes too. A payment is refused for it even so: providers'
tokens are rarely bare digits. Skus, references, keys and addresses are not refused, and are stored as they came.
Refused messages and log lines lose it wherever it stands.
"""

import re
from collections.abc import Mapping
from typing import Final

REMOVED: Final = "[card number removed]"

MIN_DIGITS: Final = 13
MAX_DIGITS: Final = 19

#: What may stand between two digits: a space, also one that does not break or is thin, or a dash of any length. JSON
#: and `repr` write some of these as escapes.
_BETWEEN: Final = r"(?:[ \u00a0\u2009\u202f\u2010-\u2014-]|\\+x[aA]0|\\+u(?:00[aA]0|2009|202[fF]|201[0-4]))"

#: The cheap look that nearly every text ends with.
_ENOUGH_DIGITS: Final = re.compile(rf"\d(?:{_BETWEEN}?\d){{{MIN_DIGITS - 1}}}")

#: A run of digits at the boundaries of words. In JSON and in `repr` the letter or the digits before it may belong to an
#: escape: `"card:\n4242..."` has the number at the beginning of a line.
_RUN: Final = re.compile(
    r"(?:(?<![\dA-Za-z_])|(?<=\\[abfnrtv])|(?<=\\x[\dA-Fa-f]{2})|(?<=\\u[\dA-Fa-f]{4}))"
    rf"\d(?:{_BETWEEN}?\d){{{MIN_DIGITS - 1},}}(?![\dA-Za-z_])"
)
_SPLIT: Final = re.compile(_BETWEEN)

#: In four of 100,000 version 4 UUIDs the first three groups look like a card number.
_UUID: Final = re.compile(r"(?<![\dA-Za-z])[\dA-Fa-f]{8}-(?:[\dA-Fa-f]{4}-){3}[\dA-Fa-f]{12}(?![\dA-Za-z])")


def has_card_number(value: object) -> bool:
    """Tell whether a card number stands anywhere in a value: a text, a number, or lists and mappings of these."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                found = bool(_find_runs(text))
            case bytes() | bytearray() as data:
                found = bool(_find_runs(data.decode("utf-8", "replace")))
            case Mapping() as mapping:
                waiting += [*mapping.keys(), *mapping.values()]
                continue
            case list() | tuple() | set() | frozenset() as items:
                waiting += items
                continue
            case other:
                found = bool(_find_runs(str(other)))
        if found:
            return True
    return False


def redact(text: str) -> str:
    """Return the text with `[card number removed]` in the place of each card number; any other text as it is."""
    pieces = []
    kept_to = 0
    for start, end in _find_runs(text):
        pieces += [text[kept_to:start], REMOVED]
        kept_to = end
    return "".join([*pieces, text[kept_to:]])


def _find_runs(text: str) -> list[tuple[int, int]]:
    """Return where the runs of digits stand that hold a card number, from left to right."""
    if _ENOUGH_DIGITS.search(text) is None:
        return []
    # Of the same length and no digit in it: positions stay what they are.
    without_ids = _UUID.sub(lambda found: "x" * len(found[0]), text)
    return [run.span() for run in _RUN.finditer(without_ids) if _holds_number(run[0])]


def _holds_number(run: str) -> bool:
    groups = _SPLIT.split(run)
    for first in range(len(groups)):
        digits = ""
        for group in groups[first : first + MAX_DIGITS]:
            digits += group
            if len(digits) > MAX_DIGITS:
                break
            if len(digits) >= MIN_DIGITS and _looks_issued(digits):
                return True
    return False


def _looks_issued(digits: str) -> bool:
    # `int` reads the digits of every script, as `\d` finds them: Japanese keyboards type wide ones.
    numbers = [int(digit) for digit in reversed(digits)]
    if not 2 <= numbers[-1] <= 6:
        return False
    # Luhn: every second digit from the right counts twice, with the sum of its own digits.
    return (sum(numbers[::2]) + sum(sum(divmod(2 * number, 10)) for number in numbers[1::2])) % 10 == 0
