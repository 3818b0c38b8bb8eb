"""Find card numbers in any text, and remove them. A payment never has one: it has its provider's token.

What looks like a card number: a word of 13 to 19 digits that begins as those of the card schemes do (2 to 6) and passes
the Luhn check. Single spaces or dashes may be between its digits, and other groups of digits beside it; these are
removed with it, as they are its expiry date or its security code. A UUID never is one, nor a word with letters in it.

One in eighteen numbers of that length looks so by chance, barcodes too. A payment is refused for it nevertheless:
providers' tokens are rarely bare digits. Skus, references, keys and addresses are not refused, and are stored as given.
From rejected messages and log lines it is removed everywhere.

The search takes time in proportion to its text: at worst, digits and spaces alone, 1.5 s for a million characters. So
what is searched is bounded first: a payment by `pipeline/intake/requests.py`, a text by `redact` itself.
"""

import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

REMOVED: Final = "[card number removed]"

#: Characters that are searched and kept, unless the caller says otherwise: a traceback has some thousands.
MAX_CHARACTERS: Final = 16_384
#: Replaces what was cut off.
CUT: Final = " [cut]"
#: Characters that are searched beyond a cut, so that a number across it is found: 19 digits with the longest separators
#: between them that any program writes (`\\\\u00a0`) have fewer.
_MARGIN: Final = 256

MIN_DIGITS: Final = 13
MAX_DIGITS: Final = 19

#: What may be between two digits: a space, also one that does not break or is thin, or a dash of any length. JSON and
#: `repr` write some of these as escapes.
_BETWEEN: Final = r"(?:[ \u00a0\u2009\u202f\u2010-\u2014-]|\\+x[aA]0|\\+u(?:00[aA]0|2009|202[fF]|201[0-4]))"

#: The cheap test that is enough for nearly every text.
_ENOUGH_DIGITS: Final = re.compile(rf"\d(?:{_BETWEEN}?\d){{{MIN_DIGITS - 1}}}")

#: A run of digits at the boundaries of words. In JSON and in `repr` the letter or the digits before it may belong to an
#: escape: `"card:\n4242..."` has the number at the beginning of a line.
_RUN: Final = re.compile(
    r"(?:(?<![\dA-Za-z_])|(?<=\\[abfnrtv])|(?<=\\x[\dA-Fa-f]{2})|(?<=\\u[\dA-Fa-f]{4}))"
    rf"\d(?:{_BETWEEN}?\d){{{MIN_DIGITS - 1},}}(?![\dA-Za-z_])"
)
_SPLIT: Final = re.compile(_BETWEEN)
#: What a digit counts in the Luhn check when it counts twice: the sum of the digits of its double.
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

#: In four of 100,000 version 4 UUIDs the first three groups look like a card number.
_UUID: Final = re.compile(r"(?<![\dA-Za-z])[\dA-Fa-f]{8}-(?:[\dA-Fa-f]{4}-){3}[\dA-Fa-f]{12}(?![\dA-Za-z])")


def has_card_number(value: object) -> bool:
    """Return whether a card number is anywhere in a value: a text, a number, or lists and mappings of these."""
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


def redact(text: str, limit: int = MAX_CHARACTERS) -> str:
    """Return the text with `[card number removed]` for each card number; any other text as it is.

    A text is cut after `limit` characters, and only a margin of the rest is read: a number across the cut is removed
    whole.
    """
    pieces = []
    kept_to = 0
    for start, end in _find_runs(text[: limit + _MARGIN]):
        if start >= limit:
            break
        pieces += [text[kept_to:start], REMOVED]
        kept_to = end
    return "".join([*pieces, text[kept_to:limit], CUT if len(text) > limit else ""])


def _find_runs(text: str) -> list[tuple[int, int]]:
    """Return the positions of the runs of digits that contain a card number, from left to right."""
    if _ENOUGH_DIGITS.search(text) is None:
        return []
    # Of the same length, without a digit: all positions stay the same.
    without_ids = _UUID.sub(lambda found: "x" * len(found[0]), text)
    return [run.span() for run in _RUN.finditer(without_ids) if _has_number(run[0])]


def _has_number(run: str) -> bool:
    """Return whether neighbouring groups of a run make a card number, in a few steps for each digit."""
    groups = _SPLIT.split(run)
    # `int` reads the digits of every script, as `\d` finds them: Japanese keyboards type wide ones.
    digits = [int(digit) for group in groups for digit in group]
    bounds = list(accumulate(map(len, groups), initial=0))
    is_bound = bytearray(bounds[-1] + 1)
    for bound in bounds:
        is_bound[bound] = 1
    # Luhn: from the right, every second digit counts twice. Which these are depends on where a number ends; so there
    # are two running sums, and the sum of any number is a difference of one of them.
    evens = list(accumulate((_DOUBLED[each] if at % 2 else each for at, each in enumerate(digits)), initial=0))
    odds = list(accumulate((each if at % 2 else _DOUBLED[each] for at, each in enumerate(digits)), initial=0))
    for start in bounds[:-1]:
        if 2 <= digits[start] <= 6:
            for end in range(start + MIN_DIGITS, min(start + MAX_DIGITS, len(digits)) + 1):
                sums = evens if end % 2 else odds
                if is_bound[end] and (sums[end] - sums[start]) % 10 == 0:
                    return True
    return False
