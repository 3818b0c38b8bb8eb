"""What a phase works on, and what it may answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
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
