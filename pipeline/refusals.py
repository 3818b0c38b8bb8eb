"""Messages that nobody can work on, kept with their reason where an operator sees them."""

from typing import Final

from sqlalchemy import Connection, text

from pipeline.errors import Code

INSERT: Final = text("""
    INSERT INTO refused_messages (queue, body, code, message) VALUES (:queue, :body, :code, :message)
""")

#: Longest body kept. A thousand-line request is about 100 kB; beyond a megabyte a message is not one of ours.
MAX_BODY: Final = 1_000_000


def record_refusal(connection: Connection, *, queue: str, body: str, code: Code, message: str) -> None:
    """Keep a refused message. Its body and reason are stored as they came, but for NULs, which no text column holds."""
    connection.execute(
        INSERT,
        {
            "queue": queue,
            "body": body[:MAX_BODY].replace("\x00", "\ufffd"),
            "code": code,
            "message": message.replace("\x00", "\ufffd"),
        },
    )
