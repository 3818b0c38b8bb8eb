"""What writers of the catalog have sent: one row for each batch."""

from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Now, max_length, one_of
from models.limits import MAX_REASON, MAX_REFERENCE
from models.states import CatalogKind


class CatalogChangeRecord(Base):
    """A batch of variants, prices, stock changes or transfers, of which at least one row was done. Append-only.

    `results` is what its writer was answered, row by row: a repeat of the key gets the same. Stock movements name the
    batch that they belong to. `actor` is `key:<id>` or `operator:<name>`.
    """

    __tablename__ = "catalog_changes"
    __table_args__ = (
        one_of("kind", CatalogKind),
        max_length("owner", MAX_REFERENCE),
        max_length("actor", MAX_REFERENCE),
        max_length("idempotency_key", MAX_REFERENCE),
        max_length("reason", MAX_REASON),
        max_length("reference", MAX_REFERENCE),
        Index(None, "owner", "idempotency_key", unique=True),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner: Mapped[str]
    kind: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    reference: Mapped[str | None]
    idempotency_key: Mapped[str]
    fingerprint: Mapped[str]
    results: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    created_at: Mapped[Now]
