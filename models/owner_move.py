"""Owners that move to another cell, or that came from one."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Now, max_length, one_of
from models.limits import MAX_REFERENCE
from models.states import MoveState


class OwnerMoveRecord(Base):
    """The move of an owner, in both cells by one id. `cell` is the other one.

    `facts` has counts and hashes of what was copied, and what is restored when the owner is opened again.
    """

    __tablename__ = "owner_moves"
    __table_args__ = (
        max_length("owner", MAX_REFERENCE),
        CheckConstraint("cell ~ '^[a-z][a-z0-9]{0,2}$' COLLATE \"C\"", name="cell"),
        one_of("state", MoveState),
    )

    owner: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    cell: Mapped[str]
    state: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    began_at: Mapped[Now]
    changed_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
