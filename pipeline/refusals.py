"""Messages that nobody can work on, kept with their reason where an operator sees them."""

import json
from typing import Final

from sqlalchemy import Connection, text

from pipeline import redaction
from pipeline.card_numbers import redact
from pipeline.errors import Code

INSERT: Final = text("""
    INSERT INTO refused_messages (queue, body, code, message) VALUES (:queue, :body, :code, :message)
""")


def record_refusal(connection: Connection, *, queue: str, body: str, code: Code, message: str) -> None:
    """Keep a refused message. Its body and reason are stored as they came, but for card numbers, whatever the reason.

    The body is cut to `redaction.MAX_KEPT` characters, and loses its payment tokens, security codes and other secrets
    too. Nor are NULs stored, which no text column holds.
    """
    connection.execute(
        INSERT,
        {
            "queue": queue,
            "body": redaction.redact(body).replace("\x00", "\ufffd"),
            "code": code,
            "message": redact(message).replace("\x00", "\ufffd"),
        },
    )


def redact_body(body: str) -> str:
    """Take card numbers out of a body of any shape; one without any stays as it is, to the letter.

    JSON is also looked at with its escapes undone: there a space that does not break is `\\u00a0`.
    """
    try:
        plain = json.dumps(json.loads(body), ensure_ascii=False)
    except (ValueError, RecursionError):
        return redact(body)
    redacted = redact(plain)
    if redacted == plain:
        return redact(body)
    # Halves of surrogate pairs go back to what they were: no database stores them.
    return redacted.encode("utf-8", "backslashreplace").decode()
