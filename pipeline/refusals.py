"""Messages that nobody can work on, kept with their reason where an operator sees them."""

import json
import re
from typing import Final

from sqlalchemy import Connection, text

from pipeline.card_numbers import has_card_number, redact
from pipeline.errors import Code

INSERT: Final = text("""
    INSERT INTO refused_messages (queue, body, code, message) VALUES (:queue, :body, :code, :message)
""")

#: Longest body kept, in characters. A request of a thousand lines has about 100,000.
MAX_BODY: Final = 262_144
#: Longest reason kept: a sentence.
MAX_MESSAGE: Final = 2000

_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")


def record_refusal(connection: Connection, *, queue: str, body: str, code: Code, message: str) -> None:
    """Keep a refused message. Its body and reason are stored as they came, but for card numbers, whatever the reason.

    Nor are NULs stored, which no text column holds, nor what is longer than `MAX_BODY` and `MAX_MESSAGE`.
    """
    connection.execute(
        INSERT,
        {
            "queue": queue,
            "body": redact_body(body).replace("\x00", "\ufffd"),
            "code": code,
            "message": redact(message, MAX_MESSAGE).replace("\x00", "\ufffd"),
        },
    )


def redact_body(body: str) -> str:
    """Take card numbers out of a body of any shape; a short one without any stays as it is, to the letter.

    Its escapes are undone to look for them: `\\u00a0` is a space that does not break, `\\u0034` a digit. A body of more
    than `MAX_BODY` characters is cut first.
    """
    plain = _undo_escapes(body)
    if not has_card_number(plain):
        return redact(body, MAX_BODY)
    # Halves of surrogate pairs go back to what they were: no database stores them.
    return redact(plain, MAX_BODY).encode("utf-8", "backslashreplace").decode()


def _undo_escapes(body: str) -> str:
    if len(body) <= MAX_BODY:
        try:
            return json.dumps(json.loads(body), ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
    # Not JSON, or a part of it: by hand.
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), body[: 2 * MAX_BODY])
