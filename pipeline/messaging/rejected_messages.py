"""Rejected messages, kept with their reason for an operator."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine, text

from pipeline.database import transaction
from pipeline.errors import Code, sentence
from pipeline.security import redaction
from pipeline.security.card_numbers import redact

log = structlog.get_logger()

#: Longest reason kept, in characters: a sentence.
MAX_MESSAGE: Final = 2000

INSERT: Final = text("""
    INSERT INTO rejected_messages (queue, body, code, message) VALUES (:queue, :body, :code, :message)
""")


def keep_rejected_message(database: Engine, *, queue: str, body: str, code: Code, facts: Mapping[str, Any]) -> None:
    """Store a rejected message in a transaction of its own, with the code's sentence over these facts, and log it."""
    message = sentence(code, facts)
    with transaction(database) as connection:
        record_rejected_message(connection, queue=queue, body=body, code=code, message=message)
    log.warning("message.rejected", queue=queue, code=code, reason=redact(message, MAX_MESSAGE))


def record_rejected_message(connection: Connection, *, queue: str, body: str, code: Code, message: str) -> None:
    """Store a rejected message. Card numbers are removed from its body and its reason.

    The body is cut to `redaction.MAX_KEPT` characters, and loses its payment tokens, security codes and other secrets
    too; the reason is cut to `MAX_MESSAGE`. NULs, which no text column can have, are replaced.
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
