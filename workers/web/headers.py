"""The two request headers of a payment: `Idempotency-Key` and `Prefer`."""

import re
from typing import Final

from models.limits import MAX_REFERENCE
from pipeline.errors import Code, Invalid

#: A number of seconds among the preferences (RFC 7240). A text that cannot be read is no preference, says the RFC.
_WAIT: Final = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)
#: A string of structured fields (RFC 9651), or only its content, which most clients send: ASCII without spaces.
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE: Final = re.compile(r"[!#-~]+")

#: Longer than the longest key that is quoted, with each of its characters escaped, and than any list of preferences.
MAX_HEADER: Final = 2 * MAX_REFERENCE + 100


def read_key(header: str) -> str:
    """Return the idempotency key of a header, quoted or bare; Invalid when it is none."""
    if len(header) > MAX_HEADER:
        raise Invalid(Code.KEY_REQUIRED)
    given = header.strip()
    quoted = _QUOTED.fullmatch(given)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given
    if not 1 <= len(key) <= MAX_REFERENCE or not (quoted or _BARE.fullmatch(given)):
        raise Invalid(Code.KEY_REQUIRED)
    return key


def read_wait(header: str | None, cap_seconds: int) -> int:
    """Return for how many seconds a caller wants to wait, at most the cap; 0 without a preference."""
    preference = _WAIT.search((header or "")[:MAX_HEADER])
    return min(int(preference[1]), cap_seconds) if preference else 0
