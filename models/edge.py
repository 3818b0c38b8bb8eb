"""The HTTP edge: API keys, sessions and stored responses."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Moment, Now, Small, max_length
from models.limits import MAX_REFERENCE


class ApiKeyRecord(Base):
    """A bearer key. `id` is its public half; of the secret half only the SHA-256 is kept: it has 256 random bits.

    `owner` is whose checkouts it starts and sees. A revoked key stays, so that its name in a log can be told.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        max_length("owner", MAX_REFERENCE),
        CheckConstraint(
            "scopes <@ ARRAY['admin', 'checkout', 'prices'] AND scopes <> '{}'",
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
    """A browser that has shown an admin's key: as long as its row is here, it has not expired, and the key lives.

    Of what the browser's cookie holds, 256 random bits, only the SHA-256 is kept.
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
    """What a `POST /checkout` was answered, by its idempotency key, for a day; `idempotency_keys` remembers for ever.

    Without `status` the request is being processed; once `leased_until` has passed, no worker does.
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
    """When a periodic part of the engine last ran: `sweep`."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[Now]
