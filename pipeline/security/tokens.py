"""Tokens of API keys: `ck_<id>_<secret>`, and `ck_<cell>_<id>_<secret>` where engines are cells.

A proxy reads from a token alone to which cell a request goes.
"""

import re
import secrets
import string
from typing import Final

from models.cells import PATTERN
from pipeline.errors import Code, Refused

#: Base62 has no `_`, which separates the parts of a token, and nothing that a shell or a URL has to quote.
ALPHABET: Final = string.ascii_letters + string.digits
#: Longer than the name of any cell, so that the two are never confused.
ID_CHARACTERS: Final = 12
#: 62 ** 43 is more than 2 ** 256.
SECRET_CHARACTERS: Final = 43

_TOKEN: Final = re.compile(
    rf"ck_(?:(?P<cell>{PATTERN})_)?(?P<id>[A-Za-z0-9]{{{ID_CHARACTERS}}})_[A-Za-z0-9]{{{SECRET_CHARACTERS}}}", re.ASCII
)


def draw_token(cell: str = "") -> str:
    """Return a new token, with the name of this cell if there is one."""
    parts = ["ck", *([cell] if cell else []), _draw(ID_CHARACTERS), _draw(SECRET_CHARACTERS)]
    return "_".join(parts)


def read_key_id(token: str) -> str | None:
    """Return the id in a token; None if it has not the form of one."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else found["id"]


def refuse_token(token: str, cell: str) -> Refused:
    """Return why a token is refused that is not valid in this cell: it names another cell, or it is unknown."""
    found = _TOKEN.fullmatch(token)
    if found is not None and found["cell"] not in (None, cell):
        return Refused(Code.CELL_WRONG, cell=found["cell"])
    return Refused(Code.API_KEY_INVALID)


def _draw(characters: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(characters))
