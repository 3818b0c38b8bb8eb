"""Ids of checkouts are UUIDv7: 48 bits of milliseconds, then chance. So a range of ids is a range of times."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

#: Ids have the clock of the process that made them, which may differ from the database's by so much.
SLACK: Final = timedelta(hours=1)
MAX_MILLIS: Final = 2**48 - 1
VERSION: Final = 7
CHANCE_BITS: Final = 80


@dataclass(frozen=True, slots=True)
class IdRange:
    """The ids from one until before another."""

    from_id: UUID
    until_id: UUID

    @property
    def bound(self) -> dict[str, UUID]:
        """The values that a query binds for a range."""
        return {"from_id": self.from_id, "until_id": self.until_id}


#: All but the largest UUID, which no UUIDv7 is.
ALL_IDS: Final = IdRange(UUID(int=0), UUID(int=2**128 - 1))


def first_id(at: datetime, slack: timedelta = timedelta(0)) -> UUID:
    """Return the smallest UUIDv7 of so long after this moment: 48 bits of milliseconds, then zeros."""
    # A sum of numbers, not of times: the first and the last day of the calendar have no hour before or after them.
    millis = min(max(0, int((at.timestamp() + slack.total_seconds()) * 1000)), MAX_MILLIS)
    return UUID(int=millis << CHANCE_BITS)


def ids_since(at: datetime) -> IdRange:
    """Return the ids of all that began since this moment, by whichever clock."""
    return IdRange(first_id(at, -SLACK), ALL_IDS.until_id)


def read_age_seconds(id_: UUID, now: float | None = None) -> float:
    """Return how long ago a UUIDv7 was made, 0 for any other UUID and for one of a clock that is ahead."""
    if id_.version != VERSION:
        return 0.0
    made_at = (id_.int >> CHANCE_BITS) / 1000
    return max(0.0, (time.time() if now is None else now) - made_at)
