"""When the captured payment of an order is read again, with its refunds and disputes.

A provider sends a webhook for each, and a webhook may be lost. So a charge is read again while something is pending: an
accepted refund that the buyer's bank may still return, or a dispute. The wait grows with the age of what is pending.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.gateways.charges import Charge, DisputeState, RefundState

#: The first read again comes after an hour, later ones after twice the age, at most a day apart.
FIRST_WAIT: Final = timedelta(hours=1)
LONGEST_WAIT: Final = timedelta(days=1)
#: A refund reaches the buyer's bank within ten working days, or comes back.
PENDING_DAYS: Final = timedelta(days=14)
#: Card schemes decide a dispute within about four months.
DISPUTE_DAYS: Final = timedelta(days=120)

SCHEDULE: Final = text("""
    UPDATE payments p
    SET charge_due_at = CASE WHEN s.seconds IS NULL THEN NULL ELSE now() + make_interval(secs => s.seconds) END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:seconds AS double precision[])) AS s (id, seconds)
    WHERE p.checkout_id = s.id
""")


def schedule_charge_reads(connection: Connection, checkout_ids: Sequence[UUID], seconds: float | None = None) -> None:
    """Have these charges read again after so many seconds, an hour if none are given: a refund of them is pending.

    Under the row locks of their orders.
    """
    wait = FIRST_WAIT.total_seconds() if seconds is None else seconds
    _schedule(connection, dict.fromkeys(checkout_ids, wait))


def schedule_next_reads(connection: Connection, waits: dict[UUID, timedelta | None]) -> None:
    """Have these charges read again after these times; None: no more."""
    _schedule(connection, {id_: None if wait is None else wait.total_seconds() for id_, wait in waits.items()})


def wait_for_next(charge: Charge, now: datetime) -> timedelta | None:
    """Return how long to wait until a charge is read again; None when nothing of it is pending, or it is too old."""
    waits = [
        *(_wait(now - each.created_at, PENDING_DAYS) for each in charge.refunds if each.state is RefundState.PENDING),
        *(_wait(now - each.created_at, DISPUTE_DAYS) for each in charge.disputes if each.state is DisputeState.OPEN),
    ]
    return min((each for each in waits if each is not None), default=None)


def _wait(age: timedelta, limit: timedelta) -> timedelta | None:
    return None if age > limit else min(max(age, FIRST_WAIT), LONGEST_WAIT)


def _schedule(connection: Connection, seconds: dict[UUID, float | None]) -> None:
    if seconds:
        ids = sorted(seconds)
        connection.execute(SCHEDULE, {"ids": ids, "seconds": [seconds[id_] for id_ in ids]})
