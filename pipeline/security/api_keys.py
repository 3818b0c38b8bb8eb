"""API keys: access over HTTP, by owner and by scope.

The secret of a token has 256 random bits, so that its plain SHA-256 can be stored: only secrets that can be guessed
need a slow hash.
"""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, text

from models.states import MoveState
from pipeline.errors import Code, Invalid
from pipeline.errors.objections import explain_first
from pipeline.field_types import Reference
from pipeline.security.tokens import draw_token, read_key_id

#: The hash for an unknown key, so that its comparison takes as long.
_NOTHING: Final = bytes(32)
_TEXT: Final = TypeAdapter(Reference)

_COLUMNS: Final = "id, owner, name, scopes, created_at, expires_at, revoked_at"

CREATE: Final = text(f"""
    INSERT INTO api_keys (id, owner, name, scopes, secret_hash, expires_at)
    VALUES (:id, :owner, :name, CAST(:scopes AS text[]), :secret_hash,
            now() + make_interval(days => CAST(:days AS integer)))
    RETURNING {_COLUMNS}
""")

FIND: Final = text("""
    SELECT k.id, k.owner, k.name, k.scopes, k.secret_hash, m.cell, m.state AS move
    FROM api_keys k LEFT JOIN owner_moves m ON m.owner = k.owner AND m.state <> 'arrived'
    WHERE k.id = ANY(CAST(:ids AS text[])) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
""")

REVOKE: Final = text(f"""
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = :id RETURNING {_COLUMNS}
""")

LIST: Final = text(f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, id")


class Scope(StrEnum):
    """What an API key may do."""

    CHECKOUT = "checkout"  # carts and checkouts of its owner
    PRICES = "prices"  # carts that name prices, discounts, taxes or delivery costs themselves
    ORDERS = "orders"  # orders of its owner: read, cancelled, refunded, restocked, fulfilled
    EVENTS = "events"  # the feed of its owner's events
    CATALOG = "catalog"  # variants, prices and stock of this engine, which all owners sell
    ADMIN = "admin"  # figures, and the checkouts of all owners


@dataclass(frozen=True, slots=True)
class Caller:
    """The API key of a request. While its owner moves to another cell, `cell` is that one, and `move` how far it is."""

    key_id: str
    owner: str
    name: str
    scopes: frozenset[Scope]
    cell: str | None = None
    move: MoveState | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A stored API key, without its secret."""

    id: str
    owner: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def create_key(
    connection: Connection, *, owner: str, name: str, scopes: Collection[Scope], days: int | None = None, cell: str = ""
) -> tuple[KeyRecord, str]:
    """Create a key; return its record and the token, which cannot be read again. It expires after `days`, if given.

    `cell` is the one of this engine, if it has one. Raises Invalid for an invalid name or owner.
    """
    for what, given in (("owner", owner), ("name", name)):
        try:
            _TEXT.validate_python(given)
        except ValidationError as error:
            raise Invalid(Code.REQUEST_INVALID, reason=f"{what} {explain_first(error)}") from None
    if not scopes:
        raise Invalid(Code.REQUEST_INVALID, reason="scopes: name at least one")
    token = draw_token(cell)
    row = connection.execute(
        CREATE,
        {
            "id": read_key_id(token),
            "owner": owner,
            "name": name,
            "scopes": sorted(set(scopes)),
            "secret_hash": _hash(token),
            "days": days,
        },
    ).one()
    return _record(row), token


def find_callers(connection: Connection, tokens: Sequence[str]) -> list[Caller | None]:
    """Return for each token the API key with this secret; None unless it is valid."""
    ids = [read_key_id(token) for token in tokens]
    rows = _find(connection, {key_id for key_id in ids if key_id is not None})
    return [_check(token, rows.get(key_id or "")) for token, key_id in zip(tokens, ids, strict=True)]


def find_caller_by_id(connection: Connection, key_id: str) -> Caller | None:
    """Return the valid API key with this id: for sessions, which began with the whole key."""
    row = _find(connection, {key_id}).get(key_id)
    return None if row is None else _caller(row)


def _find(connection: Connection, ids: Collection[str]) -> dict[str, Row[Any]]:
    return {row.id: row for row in connection.execute(FIND, {"ids": sorted(ids)})} if ids else {}


def _check(token: str, row: Row[Any] | None) -> Caller | None:
    is_right = hmac.compare_digest(_hash(token), _NOTHING if row is None else bytes(row.secret_hash))
    return None if row is None or not is_right else _caller(row)


def revoke_key(connection: Connection, key_id: str) -> KeyRecord | None:
    """Revoke a key from the next request on; None if there is none. A second time changes nothing."""
    row = connection.execute(REVOKE, {"id": key_id}).one_or_none()
    return None if row is None else _record(row)


def list_keys(connection: Connection) -> list[KeyRecord]:
    """Return every key, the oldest first."""
    return [_record(row) for row in connection.execute(LIST)]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _caller(row: Row[Any]) -> Caller:
    move = None if row.move is None else MoveState(row.move)
    return Caller(row.id, row.owner, row.name, frozenset(Scope(each) for each in row.scopes), row.cell, move)


def _record(row: Row[Any]) -> KeyRecord:
    fields = dict(row._mapping)  # noqa: SLF001 (a public attribute, in spite of its name)
    return KeyRecord(**{**fields, "scopes": tuple(Scope(each) for each in fields["scopes"])})
