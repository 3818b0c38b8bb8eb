"""Bounds of JSON input: in bytes before it is parsed, in values before each of them is read.

All JSON from outside is read here: the bodies of HTTP requests, and the messages of the queues.
"""

import json
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from models.limits import MAX_VALUES
from pipeline.errors import Code, Invalid

#: The largest bigint of PostgreSQL. No larger number counts anything here, and it is slow to convert to text.
_MAX_NUMBER: Final = 2**63 - 1
#: No shorter text can have too many values.
_SHORT: Final = MAX_VALUES


def check_values(data: bytes) -> None:
    """Refuse a JSON text with more than `MAX_VALUES` values before it is parsed: Invalid(REQUEST_INVALID).

    The characters before values are counted, also within texts: never too few, and for a cart hardly too many.
    """
    if len(data) > _SHORT and sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise Invalid(Code.REQUEST_INVALID, reason=f"its body has more than {MAX_VALUES} values")


def read_json(data: bytes) -> Any:
    """Return the value of a JSON text. The caller has bounded its bytes.

    Raises json.JSONDecodeError for what is no JSON, and Invalid(REQUEST_INVALID) for what parsers read differently or
    not at all: other encodings than UTF-8, an object that has a name twice, NaN and infinity, numbers of thousands of
    digits, hundreds of levels, more than `MAX_VALUES` values.
    """
    check_values(data)
    try:
        # A byte order mark is tolerated, as RFC 8259 allows.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(Code.REQUEST_INVALID, reason="its body is not text in UTF-8") from None
    try:
        return json.loads(text, object_pairs_hook=_read_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise Invalid(Code.REQUEST_INVALID, reason="its body is nested too deeply") from None
    except ValueError:
        raise Invalid(Code.REQUEST_INVALID, reason="its body has a number with thousands of digits") from None


def measure(value: object, bounds: tuple[int, int, int]) -> None:
    """Raise ValueError when a value of JSON is beyond its bounds: levels, values, characters of all texts and names.

    It stops at the bound, so that a value that is too large costs as little as one that just fits.
    """
    levels, values, characters = bounds
    waiting: list[tuple[int, Iterable[object]]] = [(0, (value,))]
    while waiting:
        depth, items = waiting.pop()
        for each in items:
            if isinstance(each, str):
                characters -= len(each)
            elif isinstance(each, dict | list | tuple):
                values -= len(each)
                if values < 0:
                    raise ValueError(f"it has more than {bounds[1]} values")
                if each and depth >= levels:
                    raise ValueError(f"it has more than {levels} levels")
                waiting.append((depth + 1, each))
                if isinstance(each, dict):
                    waiting.append((depth + 1, each.values()))
            elif isinstance(each, int) and abs(each) > _MAX_NUMBER:
                raise ValueError("it contains a number that is too large")
        if characters < 0:
            raise ValueError(f"it has more than {bounds[2]} characters")


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid(Code.REQUEST_INVALID, reason="an object in its body has the same name twice")
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise Invalid(Code.REQUEST_INVALID, reason="its body has a number that JSON does not have")
