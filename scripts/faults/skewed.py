"""A worker whose host's clock is an hour off: `dramatiq scripts.faults.skewed:late_build_broker -Q <queue>`.

Python's clocks are moved before anything reads them, except the monotonic one that measures waits, as on a host whose
date is wrong.
"""

import datetime as calendar
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workers.broker.batch_broker import BatchBroker

HOUR: Final = timedelta(hours=1)


def late_build_broker() -> "BatchBroker":
    """Build a worker whose clock is an hour ahead."""
    return _build(HOUR)


def early_build_broker() -> "BatchBroker":
    """Build a worker whose clock is an hour behind."""
    return _build(-HOUR)


def _build(offset: timedelta) -> "BatchBroker":
    _move_clocks(offset)
    from workers.main import build_broker  # noqa: PLC0415 (not before the clocks are moved)

    return build_broker()


def _move_clocks(offset: timedelta) -> None:
    seconds, now, now_ns = offset.total_seconds(), time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 10**9)

    class Skewed(calendar.datetime):
        """A calendar that reads the moved clock."""

        @classmethod
        def now(cls, tz: calendar.tzinfo | None = None) -> "Skewed":
            return cls.fromtimestamp(time.time(), tz)

    calendar.datetime = Skewed  # type: ignore[misc]
