"""What HTTP needs: API keys, sessions of the admin pages, stored responses; and heartbeats."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Moment, Now, Small, max_length
from models.limits import MAX_REFERENCE


class ApiKeyRecord(Base):
    """An API key. `id` is its public half; of the secret half only the SHA-256 is kept: it has 256 random bits.

    The key starts and sees checkouts of `owner`. The row of a revoked key stays, so that a log's key id has a name.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        max_length("owner", MAX_REFERENCE),
        CheckConstraint(
            "scopes <@ ARRAY['admin', 'catalog', 'checkout', 'events', 'orders', 'prices'] AND scopes <> '{}'",
            name="scopes",
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[Now]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AdminSessionRecord(Base):
    """A browser session of an operator. It ends with its row, at `expires_at`, or with its API key.

    The browser's cookie has 256 random bits, of which only the SHA-256 is kept.
    """

    __tablename__ = "admin_sessions"
    __table_args__ = (
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
        Index(None, "expires_at"),
        Index(None, "key_id"),
    )

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    created_at: Mapped[Now]
    expires_at: Mapped[Moment]


class StoredResponseRecord(Base):
    """The response to a `POST /checkout`, by its idempotency key, for a day; `idempotency_keys` is kept for ever.

    Without `status` the request is being processed, until `leased_until` at the latest.
    """

    __tablename__ = "stored_responses"
    __table_args__ = (
        max_length("key", MAX_REFERENCE),
        CheckConstraint("(status IS NULL) = (body IS NULL)", name="answered"),
        Index(None, "created_at"),
    )

    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    leased_until: Mapped[Moment]
    status: Mapped[Small | None]
    headers: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    body: Mapped[str | None]
    created_at: Mapped[Now]


class HeartbeatRecord(Base):
    """When a periodic part of the engine last ran: `sweep`, and in a cell `cell NAME`, by the same sweep."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[Now]
