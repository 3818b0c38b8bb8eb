"""Browser sessions of the admin pages. They are rows, so that a sign-out, or the revocation of the key, ends them."""

import hashlib
import re
import secrets
from typing import Final

from sqlalchemy import Connection, text

from pipeline.security.api_keys import Caller, find_caller_by_id

#: A working day.
LIFE_SECONDS: Final = 8 * 3600

#: 256 random bits, as `secrets.token_urlsafe` writes them.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)

OPEN: Final = text("""
    INSERT INTO admin_sessions (token_hash, key_id, expires_at)
    VALUES (:token_hash, :key_id, now() + make_interval(secs => :seconds))
""")
FIND: Final = text("SELECT key_id FROM admin_sessions WHERE token_hash = :token_hash AND expires_at > now()")
CLOSE: Final = text("DELETE FROM admin_sessions WHERE token_hash = :token_hash RETURNING key_id")


def open_session(connection: Connection, key_id: str) -> str:
    """Open a session of this API key; return the value of the browser's cookie, which is not stored."""
    token = secrets.token_urlsafe(32)
    values = {"token_hash": _hash(token), "key_id": key_id, "seconds": LIFE_SECONDS}
    connection.execute(OPEN, values)
    return token


def find_session(connection: Connection, token: str) -> Caller | None:
    """Return the API key of this session; None for an unknown or ended one, or when its key is revoked or expired."""
    if _TOKEN.fullmatch(token) is None:
        return None
    key_id = connection.execute(FIND, {"token_hash": _hash(token)}).scalar_one_or_none()
    return None if key_id is None else find_caller_by_id(connection, key_id)


def close_session(connection: Connection, token: str) -> str | None:
    """End a session; return its API key's id, or None if it has ended already."""
    if _TOKEN.fullmatch(token) is None:
        return None
    closed: str | None = connection.execute(CLOSE, {"token_hash": _hash(token)}).scalar_one_or_none()
    return closed


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
