"""What a phase works on, and what it may answer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from typing import Any, Final
from uuid import UUID

from models.states import CheckoutState
from pipeline.errors import Code
from pipeline.pricing.drift import Expected


@dataclass(frozen=True, slots=True)
class Member:
    """One checkout of a batch, as read under its row lock. `now` is the database's clock in this transaction."""

    id: UUID
    cart_id: UUID
    owner: str
    reference: str | None
    currency: str
    state: CheckoutState
    phase: int
    fence: int
    straight_through: bool
    payment_given: bool
    expected: Expected
    expires_at: datetime
    pivot_at: datetime | None
    attempts: int
    ending: CheckoutState | None
    now: datetime


#: How many go together by how often they have left no trace. One of them may be what kills workers: it takes ever fewer
#: along, and has two of its five attempts alone. A lost Redis counts an attempt for all that waited there: at one by
#: one they would take four times as long as the first time (98 a second instead of 430, two cores).
TOGETHER: Final = {0: 1000, 1: 16, 2: 4}


def part(members: Sequence[Member]) -> tuple[list[Member], list[list[UUID]]]:
    """Return who goes on together now, and the groups of the others; who is fresh goes with the fresh, all at once."""
    parts: list[list[Member]] = []
    for attempts, group in groupby(sorted(members, key=_level), key=_level):
        parts += _chunk(group, TOGETHER.get(attempts, 1))
    return (parts[0], [[each.id for each in group] for group in parts[1:]]) if parts else ([], [])


def _level(member: Member) -> int:
    return min(member.attempts, len(TOGETHER))


def _chunk(members: Iterable[Member], size: int) -> Iterator[list[Member]]:
    left = iter(members)
    while some := list(islice(left, size)):
        yield some


@dataclass(frozen=True, slots=True)
class Done:
    """The phase has done its work."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A business no: everything done so far is undone, the buyer reads the code's sentence."""

    code: Code
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody outside must act first: the checkout parks in `state` until it is called on, or expires.

    Its stock and prices are held for at least `hold_seconds` more.
    """

    state: CheckoutState
    event: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    hold_seconds: float = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now: call again after this long. Costs no attempt."""

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Review:
    """No rule settles this: a person must look."""

    code: Code
    detail: Mapping[str, Any] = field(default_factory=dict)


Outcome = Done | Rejected | Wait | Retry | Review
