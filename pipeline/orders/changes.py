"""Changes of orders as the workers see them: read under the order's row lock, and each change of the row."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.money import Money
from models.states import CHANGES_TO_DO, ChangeKind, ChangeState, OrderState
from pipeline.errors import Code, sentence
from pipeline.orders.refunds.row import Refund, load_refunds

ORDERS_OF: Final = text("SELECT DISTINCT order_id FROM order_changes WHERE id = ANY(CAST(:ids AS uuid[]))")

# A dispute is worked on by nobody here, and keeps nothing else from it.
LOAD: Final = text("""
    SELECT c.id, c.order_id, c.checkout_id, c.owner, c.kind, c.state, c.amount_minor, c.actor, c.reason, c.options,
           c.outcome, c.attempts, c.sent_at, o.number, o.currency, o.reference AS order_reference,
           o.state AS order_state, p.reference AS payment_reference, coalesce(p.token, '') AS token, now() AS now
    FROM order_changes c JOIN orders o ON o.id = c.order_id LEFT JOIN payments p ON p.checkout_id = c.checkout_id
    WHERE c.order_id = ANY(CAST(:order_ids AS uuid[])) AND c.kind <> 'dispute'
      AND (c.state IN ('requested', 'running') OR c.id = ANY(CAST(:ids AS uuid[])))
    ORDER BY c.order_id, c.id
""")

END: Final = text("""
    UPDATE order_changes c
    SET state = e.state, outcome = CAST(e.outcome AS jsonb), due_at = NULL, sent_at = NULL, attempts = 0,
        last_error = NULL, ended_at = CASE WHEN e.state IN ('done', 'failed') THEN now() END, updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:outcomes AS text[])) AS e (id, state, outcome)
    WHERE c.id = e.id
""")

# Without the time of a message: it is due because of the clock, and not because its message may be lost.
SCHEDULE: Final = text("""
    UPDATE order_changes c
    SET due_at = now() + make_interval(secs => s.seconds), sent_at = NULL, last_error = s.reason,
        attempts = s.attempts, updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:seconds AS double precision[]), CAST(:reasons AS text[]),
                CAST(:attempts AS smallint[])) AS s (id, seconds, reason, attempts)
    WHERE c.id = s.id
""")

RUN: Final = text("""
    UPDATE order_changes
    SET state = 'running', due_at = now() + make_interval(secs => :lease_seconds), sent_at = NULL, attempts = 0,
        outcome = CASE WHEN id = ANY(CAST(:new_ids AS uuid[])) THEN '{}' ELSE outcome END, updated_at = now()
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

#: In `outcome`: a person has decided that the refund is to be made once more.
RETRIED: Final = "retried"


@dataclass(frozen=True, slots=True)
class LockedChange:
    """A change of an order, as read under the order's row lock. `now` is the database's clock in this transaction.

    `payment_reference` is the provider's object; None where nothing was paid. `refunds` are its own, oldest first.
    """

    id: UUID
    order_id: UUID
    checkout_id: UUID
    owner: str
    number: int | None
    currency: str
    order_reference: str | None
    order_state: OrderState
    payment_reference: str | None
    token: str
    kind: ChangeKind
    state: ChangeState
    amount_minor: int
    actor: str
    reason: str
    options: Mapping[str, Any]
    outcome: Mapping[str, Any]
    attempts: int
    sent_at: datetime | None
    now: datetime
    refunds: Sequence[Refund] = field(default_factory=tuple)

    @property
    def is_to_do(self) -> bool:
        """Whether the workers still have to do it."""
        return self.state in CHANGES_TO_DO

    @property
    def is_retried(self) -> bool:
        """Whether a person has decided that its refund is to be made once more."""
        return bool(self.outcome.get(RETRIED))

    @property
    def amount(self) -> Money:
        """What it pays back; zero for kinds that pay nothing."""
        return Money(self.amount_minor, self.currency)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a change failed, or needs review."""

    code: Code
    detail: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return it as the row, the event and the API have it."""
        return {"code": self.code, "message": sentence(self.code, self.detail), "detail": dict(self.detail)}


def find_orders(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Return the orders of these changes; ids that do not exist are left out."""
    return list(connection.execute(ORDERS_OF, {"ids": list(ids)}).scalars())


def load_changes(
    connection: Connection, order_ids: Sequence[UUID], ids: Sequence[UUID]
) -> dict[UUID, list[LockedChange]]:
    """Return, for each of these locked orders, its changes that are to do and the named ones, oldest first."""
    rows = connection.execute(LOAD, {"order_ids": list(order_ids), "ids": list(ids)}).mappings().all()
    refunds = load_refunds(connection, [row["id"] for row in rows])
    found: dict[UUID, list[LockedChange]] = defaultdict(list)
    for row in rows:
        given = dict(row)
        given["kind"], given["state"] = ChangeKind(row["kind"]), ChangeState(row["state"])
        given["order_state"] = OrderState(row["order_state"])
        given["amount_minor"] = row["amount_minor"] or 0
        found[row["order_id"]].append(LockedChange(**given, refunds=tuple(refunds.get(row["id"], ()))))
    return found


def end_changes(connection: Connection, ends: Mapping[UUID, tuple[ChangeState, Mapping[str, Any]]]) -> None:
    """Write the state of these changes, an end or needs_review, with the facts of it."""
    if ends:
        connection.execute(
            END,
            {
                "ids": list(ends),
                "states": [state for state, _ in ends.values()],
                "outcomes": [json.dumps(dict(outcome), default=str) for _, outcome in ends.values()],
            },
        )


def schedule_changes(connection: Connection, waits: Sequence[tuple[LockedChange, float, str, int]]) -> None:
    """Schedule each of (change, seconds, reason, attempts so far) to be worked on again."""
    if waits:
        connection.execute(
            SCHEDULE,
            {
                "ids": [change.id for change, *_ in waits],
                "seconds": [max(0.0, seconds) for _, seconds, *_ in waits],
                "reasons": [reason[:1000] for _, _, reason, _ in waits],
                "attempts": [attempts for *_, attempts in waits],
            },
        )


def run_changes(
    connection: Connection, changes: Sequence[LockedChange], lease_seconds: float, new: Sequence[UUID]
) -> None:
    """Record that the refunds of these are being called; `new` are those with a new key, whose former outcome ends."""
    if changes:
        ids = [change.id for change in changes]
        connection.execute(RUN, {"ids": ids, "lease_seconds": lease_seconds, "new_ids": list(new)})
