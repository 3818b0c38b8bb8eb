"""What a phase works on, and the results that it may return."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final, TypeVar
from uuid import UUID

from models.states import CheckoutState
from pipeline.checkouts.expected import Expected
from pipeline.errors import Code, sentence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LockedCheckout:
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
    line_count: int = 1
    sent_at: datetime | None = None


#: The size of a group by how many attempts of its checkouts ended without a commit. One of them may crash workers: each
#: attempt affects fewer others, and two of its five are alone. A lost Redis costs all waiting checkouts an attempt: one
#: by one they would take four times as long as the first time (98 a second instead of 430, two cores).
GROUP_SIZES: Final = {0: 1000, 1: 16, 2: 4}


@dataclass(frozen=True, slots=True)
class Parts:
    """How a batch is divided: the group processed `now`, the groups that follow, and the `heavy` ones that may wait.

    Each group is one transaction. Heavy groups are large checkouts, each by itself, and groups of small ones after the
    first that fill more than half a transaction.
    """

    now: list[LockedCheckout] = field(default_factory=list)
    again: list[list[UUID]] = field(default_factory=list)
    heavy: list[list[UUID]] = field(default_factory=list)


def split_by_attempts(checkouts: Sequence[LockedCheckout], most_lines: int | None) -> Parts:
    """Divide a batch by attempts and by lines: first attempts go together, and the small ones go first.

    No group has more than `most_lines` lines (None: any number), except a single checkout that has more by itself.
    Checkouts come in the order of their ids, that of their start, and keep it within a group, and from each heavy group
    to the next.
    """
    groups: list[list[LockedCheckout]] = []
    most = math.inf if most_lines is None else most_lines
    for attempts, group in groupby(sorted(checkouts, key=_level), key=_level):
        groups += split_by_weight(list(group), _weigh, most, GROUP_SIZES.get(attempts, 1))
    if not groups:
        return Parts()
    light = [each for each in groups[1:] if sum(map(_weigh, each)) * 2 <= most]
    heavy = [each for each in groups[1:] if sum(map(_weigh, each)) * 2 > most]
    (heavy if _is_large(_weigh(groups[0][0]), most) else light).insert(0, groups[0])
    ids = [[[checkout.id for checkout in group] for group in some] for some in (light[1:], sorted(heavy, key=_age))]
    return Parts(light[0] if light else [], *ids)


def split_by_weight(
    items: Sequence[T], weigh: Callable[[T], int], most: float, count: int | None = None
) -> list[list[T]]:
    """Divide items into groups of at most `count` that weigh at most `most` together; a large one goes by itself.

    The lightest that fit go into the first group. The others follow in their own order, so that a caller that takes the
    first two groups of each such batch reaches the oldest item in the end.
    """
    groups = list(_chunk(items, weigh, most, count))
    if len(groups) < 2:
        return groups
    lightest = sorted(range(len(items)), key=lambda each: weigh(items[each]))
    first = sorted(next(_chunk(lightest, lambda each: weigh(items[each]), most, count)))
    rest = [item for index, item in enumerate(items) if index not in set(first)]
    return [[items[index] for index in first], *_chunk(rest, weigh, most, count)]


def _is_large(weight: int, most: float) -> bool:
    """Return whether one item is too large for a shared group: more than half of `most`."""
    return weight * 2 > most


def _level(checkout: LockedCheckout) -> int:
    return min(checkout.attempts, len(GROUP_SIZES))


def _age(group: Sequence[LockedCheckout]) -> UUID:
    return min(checkout.id for checkout in group)


def _weigh(checkout: LockedCheckout) -> int:
    return checkout.line_count


def _chunk(items: Iterable[T], weigh: Callable[[T], int], most: float, count: int | None) -> Iterator[list[T]]:
    group: list[T] = []
    weight = 0
    for item in items:
        own = weigh(item)
        is_alone = bool(group) and _is_large(max(own, weigh(group[-1])), most)
        if group and (is_alone or len(group) == count or weight + own > most):
            yield group
            group, weight = [], 0
        group.append(item)
        weight += own
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class Done:
    """The phase has done its work."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rejected for a business reason: the completed phases are undone, and the buyer reads the code's sentence."""

    code: Code
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """An external party must act first: the checkout waits in `state` until it is resumed, or expires.

    Its stock and prices are reserved for at least `extend_seconds` more.
    """

    state: CheckoutState
    event: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    extend_seconds: float = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """The phase cannot go on now: it is retried after this long. Costs no attempt."""

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Review:
    """No rule settles this checkout: it needs review."""

    code: Code
    detail: Mapping[str, Any] = field(default_factory=dict)

    def describe(self, phase: str | None) -> dict[str, Any]:
        """Return the review document, as the row, the event and the API have it."""
        return {
            "code": self.code,
            "phase": phase,
            "message": sentence(self.code, self.detail),
            "detail": dict(self.detail),
        }


PhaseResult = Done | Rejected | Wait | Retry | Review
