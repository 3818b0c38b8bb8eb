"""Distinguishes slow from lost: a message that was redelivered while its first run still worked was not lost.

A run that received its batch before the sweep sent a message again, and reaches the checkout after that, proves that
the message was delivered: it does the work, or finds that the other message's run did. That is recorded once for each
redelivered message. Without such a run it was lost, or its worker crashed, or the database was unavailable.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, text

from pipeline.checkouts import LockedCheckout

REDELIVERED: Final = "sweep.redelivered"
SLOW: Final = "sweep.slow"

# Under the checkouts' row locks: two slow runs do not record the same redelivery twice.
MARK: Final = text(f"""
    INSERT INTO events (checkout_id, kind, phase, data, owner)
    SELECT r.checkout_id, '{SLOW}', r.phase, jsonb_build_object('redelivered', r.id), r.owner
    FROM events r
    WHERE r.checkout_id = ANY(CAST(:ids AS uuid[])) AND r.kind = '{REDELIVERED}' AND r.phase = :queue
      AND r.at > now() - make_interval(secs => :held_seconds)
      AND NOT EXISTS (SELECT FROM events s WHERE s.checkout_id = r.checkout_id AND s.kind = '{SLOW}'
                                             AND s.data ->> 'redelivered' = CAST(r.id AS text))
""")

#: Counts of the messages redelivered in the window: slow ones, and lost ones.
SLOW_COUNT: Final = f"""
    SELECT count(*) FROM events r
    WHERE r.kind = '{REDELIVERED}' AND r.at > now() - make_interval(secs => :window_seconds)
      AND EXISTS (SELECT FROM events s WHERE s.checkout_id = r.checkout_id AND s.kind = '{SLOW}'
                                         AND s.data ->> 'redelivered' = CAST(r.id AS text))
"""
LOST_COUNT: Final = SLOW_COUNT.replace("AND EXISTS", "AND NOT EXISTS")


class Watch:
    """When a run received its batch, by this process's clock: it counts on while the process is suspended."""

    def __init__(self, queue: str) -> None:
        """Begin now."""
        self._queue = queue
        self._began = time.monotonic()

    def held_seconds(self) -> float:
        """Return how long this run has had the batch. Call it before a transaction's first statement."""
        return time.monotonic() - self._began

    def mark(
        self,
        connection: Connection,
        checkouts: Sequence[LockedCheckout],
        is_here: Callable[[LockedCheckout], bool],
        held_seconds: float,
    ) -> None:
        """Record which of these locked checkouts were redelivered while this run had them.

        One statement, and only when there may be such checkouts. `is_here` returns whether one has not moved on.
        """
        held = timedelta(seconds=held_seconds)
        doubtful = [
            each
            for each in checkouts
            if not is_here(each) or (each.sent_at is not None and each.sent_at > each.now - held)
        ]
        if doubtful:
            connection.execute(
                MARK,
                {"ids": [each.id for each in doubtful], "queue": self._queue, "held_seconds": held_seconds},
            )
