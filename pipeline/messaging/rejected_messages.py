"""Rejected messages, kept with their reason for an operator."""

from typing import Final

from sqlalchemy import Connection, text

from pipeline.errors import Code
from pipeline.security import redaction
from pipeline.security.card_numbers import redact

#: Longest reason kept, in characters: a sentence.
MAX_MESSAGE: Final = 2000

INSERT: Final = text("""
    INSERT INTO refused_messages (queue, body, code, message) VALUES (:queue, :body, :code, :message)
""")


def record_rejected_message(connection: Connection, *, queue: str, body: str, code: Code, message: str) -> None:
    """Keep a refused message. Its body and reason are stored as they came, but for card numbers, whatever the reason.

    The body is cut to `redaction.MAX_KEPT` characters, and loses its payment tokens, security codes and other secrets
    too; the reason is cut to `MAX_MESSAGE`. Nor are NULs stored, which no text column holds.
    """
    connection.execute(
        INSERT,
        {
            "queue": queue,
            "body": redaction.redact(body).replace("\x00", "\ufffd"),
            "code": code,
            "message": redact(message, MAX_MESSAGE).replace("\x00", "\ufffd"),
        },
    )
