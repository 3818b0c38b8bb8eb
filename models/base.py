"""The declarative base and the column types that every table shares."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, MetaData, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import CHAR, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import UserDefinedType

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}

BigId = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
Big = Annotated[int, mapped_column(BigInteger)]
Minor = Annotated[int, mapped_column(BigInteger)]
Small = Annotated[int, mapped_column(SmallInteger)]
Currency = Annotated[str, mapped_column(CHAR(3))]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
#: The database's clock, never a client's.
Now = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("now()"))]


class TransactionId(UserDefinedType[str]):
    """PostgreSQL's `xid8`: the 64-bit id of a transaction. It is read as text."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name."""
        return "xid8"


#: Of the tables with a partition for each month: ids of checkouts are UUIDv7, whose first 48 bits are their time.
BY_CHECKOUT = "RANGE (checkout_id)"


class Base(DeclarativeBase):
    """Base of every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {str: Text, UUID: Uuid, datetime: DateTime(timezone=True)}  # noqa: RUF012 (read by SQLAlchemy)


def one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    """Allow only these values in a text column: an enum that a migration can change without rewriting a table."""
    listed = ", ".join(f"'{value.value}'" for value in sorted(values))
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def max_length(column: str, length: int) -> CheckConstraint:
    """Bound a text column; input is checked for the same bound before, with a better sentence."""
    return CheckConstraint(f"char_length({column}) <= {length}", name=f"{column}_length")
