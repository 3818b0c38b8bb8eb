"""Find secrets in texts from outside, by their names and by their shapes, and remove them before a text is stored.

By its name: a payment token, a card's security code in every usual spelling, `Authorization`, cookies, passwords, API
keys, `client_secret`; the whole value is removed. By its shape: keys and tokens of known providers, API keys of this
engine, bearer values, JSON Web Tokens, private keys. Card numbers are removed too (`card_numbers.py`).
It cannot be complete: only the owner of the tables needs the texts, and the reader's role does not see them.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pipeline.security import card_numbers

REMOVED: Final = "[secret removed]"

#: Longest stored text from outside, in characters. A purchase of a thousand lines has about 100,000.
MAX_KEPT: Final = 100_000
#: Characters at the end of a text that was cut that may be half a secret.
_TAIL: Final = 600
#: JSON in a string in JSON is read as JSON to this depth, and beyond it as text.
_MAX_LAYERS: Final = 8

#: Anywhere in a name, without regard to case, blanks, dots, dashes and underscores.
_WORDS: Final = (
    *("cvc", "cvv", "cvn", "securitycode", "verificationcode", "verificationvalue", "verificationnumber", "cardcode"),
    *(
        "pruefnummer",
        "kartenpruef",
        "cryptogram",
        "track1",
        "track2",
        "trackdata",
        "magstripe",
        "pinblock",
        "cardnumber",
    ),
    *("secret", "password", "passwd", "passphrase", "authorization", "apikey", "accesskey", "privatekey", "cookie"),
    *("token", "credential", "signature"),
)
#: The whole of a name.
_NAMES: Final = frozenset({"csc", "cid", "cv2", "cvd", "cvk", "cav", "pin", "otp", "pan", "auth", "bearer", "pwd"})
#: In a text that is no JSON, or a part of it: `\\u0034` is a digit.
_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")


def _spell(word: str) -> str:
    """Return a pattern for a word with anything that may be between its letters in a name."""
    return r"[ _.\-]?".join(word)


_VALUE: Final = (
    r"""(?: (?<=["']) [^"'\\<>]{1,2000} | (?:(?:bearer|basic|digest|token)\s{1,4})? [^\s"'&,;<>\\{}\[\]()]{1,2000} )"""
)
#: `cvc 123`: three or four digits right after the name of a security code.
_CODE: Final = re.compile(r"(?i)((?:cvc|cvv|cvn|csc|security[ _-]?code)[0-9]?\s{1,4}(?:is\s{1,4})?)\d{3,4}(?!\d)")
#: What is a secret by its shape alone.
_SHAPES: Final = re.compile(
    r"""(?x)
    \b(?:sk|rk)_(?:live|test)_\w+ | \bwhsec_[\w+/=]+ | \b\w{1,80}_secret_\w+
    | \bck_(?:[a-z0-9]{1,3}_)?[A-Za-z0-9]{8,}_[A-Za-z0-9]{20,}
    | \b(?:tok|pm|ctoken|src)_\w+ | \beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]* | (?i:\b(?:bearer|basic)\s{1,4}[\w.~+/=-]{8,})
    | -----BEGIN[A-Z ]{0,40}PRIVATE[ ]KEY-----[^-]{0,8000}
    """
)


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name holds a secret."""
    plain = _SEPARATORS.sub("", name.lower())
    return plain in _NAMES or any(word in plain for word in _WORDS)


def redact(body: str, *, limit: int = MAX_KEPT) -> str:
    """Return a text that may be stored: cut to `limit` characters, then without secrets and card numbers.

    It is cut first, so that no text is too long to be searched, and what may be half a secret is cut too. A text
    without any secret stays exactly as it is.
    """
    # The replacement may be longer than the secret.
    return _redact_any(_cut(body, limit), _MAX_LAYERS)[:limit]


def open_part(action: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a buyer's action that have no secret: others than the buyer may see them."""
    return {
        name: value
        for name, value in action.items()
        if not is_secret_name(name) and (written := json.dumps(value, ensure_ascii=False)) == redact(written)
    }


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    kept = text[:limit]
    end = max(kept.rfind(mark, limit - _TAIL) for mark in ',{}[]"\n')
    return kept[: end + 1] if end > 0 else kept[: max(0, limit - _TAIL)]


def _redact_any(text: str, layers: int) -> str:
    """Redact JSON as JSON, with its escapes resolved, and everything else as text."""
    if layers and text[:64].lstrip()[:1] in {"{", "[", '"'}:
        try:
            value = json.loads(text, object_pairs_hook=_read_object)
            plain = json.dumps(value, ensure_ascii=False)
            cleaned = _redact_numbers(json.dumps(_redact_value(value, layers), ensure_ascii=False))
        except (ValueError, RecursionError):
            pass
        else:
            # Halves of surrogate pairs are escaped again: no database stores them.
            if cleaned == plain:
                return _redact_numbers(text)
            return cleaned.encode("utf-8", "backslashreplace").decode()
    return _redact_text(text)


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Read an object; one that names a field twice is no JSON here: the first of the two would not be searched."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is named twice")
    return found


def _redact_value(value: Any, layers: int) -> Any:
    match value:
        case dict():
            return {
                _redact_text(name): _replace(item)
                if is_secret_name(name) and item is not None and not isinstance(item, bool)
                else _redact_value(item, layers)
                for name, item in value.items()
            }
        case list():
            return [_redact_value(item, layers) for item in value]
        case str():
            return _redact_any(value, layers - 1)
        case _:
            return value


def _replace(secret: Any) -> str:
    """Return the replacement of a secret. A card number has its own, because an operator must know of it."""
    return card_numbers.REMOVED if card_numbers.has_card_number(secret) else REMOVED


@cache
def _read_named() -> re.Pattern[str]:
    """Return a name, a separator and a value, in a text that is no JSON: a form, a header, XML, `repr`, half a message.

    To compile it takes 5 ms: at its first use.
    """
    words, names = "|".join(_spell(word) for word in _WORDS), "|".join(sorted(_NAMES))
    return re.compile(
        rf"""(?P<before> (?: {words} | (?<![a-z0-9]) (?: {names} ) )
         [a-z0-9_\-]{{0,20}} [\\"'\s\])]{{0,8}} (?: => | %3d | [:=>] ) \s{{0,8}} (?:\\{{0,4}}["'])? )
         (?!["']?\[card[ ]number[ ]removed) {_VALUE}""",
        re.IGNORECASE | re.VERBOSE,
    )


def _redact_text(text: str) -> str:
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    if plain != text and card_numbers.has_card_number(plain):
        text = plain.encode("utf-8", "backslashreplace").decode()
    named = _read_named().sub(lambda found: f"{found['before']}{REMOVED}", _redact_numbers(text))
    return _SHAPES.sub(REMOVED, _CODE.sub(rf"\1{REMOVED}", named))


def _redact_numbers(text: str) -> str:
    # Its length is bounded by `redact`.
    return card_numbers.redact(text, len(text))
