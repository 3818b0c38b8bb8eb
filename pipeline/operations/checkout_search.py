"""The list of checkouts, for operators: newest first, filtered, one page at a time.

Ids are in order of time: a page begins after the last id of the one before, and page ten thousand costs as much as page
one, however many checkouts there are.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import CheckoutState
from pipeline.checkouts.progress import PROGRESS
from pipeline.database.ids import SLACK, first_id

#: The largest page.
MAX_PAGE: Final = 200

# Conditions that the filter does not name are left out, so that the planner sees which index serves.
_SELECT: Final = f"""
    SELECT c.id, c.cart_id, c.owner, c.reference, c.state, {PROGRESS}, c.currency, c.expires_at, c.created_at,
           c.ended_at,
           c.failure_code, l.total_minor, o.number AS order_number
    FROM checkouts c LEFT JOIN price_locks l ON l.checkout_id = c.id LEFT JOIN orders o ON o.checkout_id = c.id
"""
_CONDITIONS: Final = {
    "state": "c.state = :state",
    "owner": "c.owner = :owner",
    "cart_id": "c.cart_id = :cart_id",
    "since": "c.created_at >= :since AND c.id >= CAST(:since_id AS uuid)",
    "until": "c.created_at < :until AND c.id < CAST(:until_id AS uuid)",
    "before": "c.id < :before",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """The checkouts that fulfil every given condition. `before` is the last id of the page before."""

    state: CheckoutState | None = None
    owner: str | None = None
    cart_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: UUID | None = None


@dataclass(frozen=True, slots=True)
class CheckoutEntry:
    """One line of the list."""

    id: UUID
    cart_id: UUID
    owner: str
    reference: str | None
    state: CheckoutState
    phases_completed: int | None
    phases_to_undo: int | None
    currency: str
    total_minor: int | None
    order_number: int | None
    failure_code: str | None
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines, newest first; `next_before` begins the next page, None on the last."""

    entries: tuple[CheckoutEntry, ...]
    next_before: UUID | None


def read_page(connection: Connection, wanted: Filter, *, limit: int = 50) -> Page:
    """Return one page of the list."""
    size = max(1, min(limit, MAX_PAGE))
    given: dict[str, Any] = {name: getattr(wanted, name) for name in _CONDITIONS if getattr(wanted, name) is not None}
    where = " AND ".join(_CONDITIONS[name] for name in given)
    if wanted.since is not None:
        given["since_id"] = first_id(wanted.since, -SLACK)
    if wanted.until is not None:
        given["until_id"] = first_id(wanted.until, SLACK)
    query = text(f"{_SELECT} {'WHERE ' + where if where else ''} ORDER BY c.id DESC LIMIT :size")
    rows = [dict(row) for row in connection.execute(query, {**given, "size": size + 1}).mappings()]
    entries = tuple(CheckoutEntry(**row | {"state": CheckoutState(row["state"])}) for row in rows[:size])
    return Page(entries, entries[-1].id if len(rows) > size else None)
