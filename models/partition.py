"""Months whose history is detached: their partitions are tables of their own, outside the engine."""

from datetime import date
from uuid import UUID

from sqlalchemy import Date
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Now


class DetachedMonthRecord(Base):
    """A month of checkouts without events and stock movements: those of ids from `from_id` until before `until_id`.

    The audit does not look for the history of their checkouts; all other rows of them are still here.
    """

    __tablename__ = "detached_months"

    month: Mapped[date] = mapped_column(Date, primary_key=True)
    from_id: Mapped[UUID]
    until_id: Mapped[UUID]
    detached_at: Mapped[Now]
