"""Looks whether checkouts get through: at most one look at a time, and at most one a second, whoever asks."""

import asyncio
import time
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pipeline.database import is_transient
from pipeline.health import Check, Health, Report, check_database
from pipeline.schema import read_head
from workers.web.edge import Edge

log = structlog.get_logger()

#: Both servers answer within this, or are told as not answering: load balancers give a check two seconds or more.
BOUND_SECONDS: Final = 2.0
#: One answer serves everybody for this long.
SHARED_SECONDS: Final = 1.0

DATABASE_AWAY: Final = Check(Health.UNHEALTHY, "PostgreSQL does not answer: nothing can be bought.")
SCHEMA_AWAY: Final = Check(Health.UNHEALTHY, "The database has no schema of this engine: run `alembic upgrade head`.")
BROKER_AWAY: Final = Check(Health.DEGRADED, "Redis does not answer: checkouts are accepted, and go on when it is back.")
BROKER_HERE: Final = Check(Health.HEALTHY, "Redis answers.")


class Checkup:
    """The last look, and the next. Lives on one event loop."""

    def __init__(self, edge: Edge) -> None:
        """Look through this edge's threads and connections: if they are all taken, that is an answer too."""
        self._edge = edge
        self._lock = asyncio.Lock()
        self._last: Report | None = None
        self._until = 0.0

    async def report(self) -> Report:
        """Return how things stand, as of a second ago at most; takes two seconds at most."""
        async with self._lock:
            if self._last is None or time.monotonic() >= self._until:
                (checks, at), broker = await asyncio.gather(self._ask_database(), self._ask_broker())
                self._last = Report({**checks, "broker": broker}, at)
                self._until = time.monotonic() + SHARED_SECONDS
            return self._last

    @cached_property
    def _head(self) -> str:
        # From files: read once, and on a thread.
        return read_head()

    async def _ask_database(self) -> tuple[dict[str, Check], datetime]:
        def look(connection: Connection) -> tuple[dict[str, Check], datetime]:
            return check_database(connection, self._edge.settings, self._head)

        try:
            return await asyncio.wait_for(self._edge.read(look), BOUND_SECONDS)
        except (SQLAlchemyError, TimeoutError) as error:
            # What it says may name hosts and users: the log is for that, the answer is for everybody.
            log.warning("health.database", error=str(error))
            is_away = isinstance(error, TimeoutError) or is_transient(error)
            return {"database": DATABASE_AWAY if is_away else SCHEMA_AWAY}, datetime.now(UTC)

    async def _ask_broker(self) -> Check:
        try:
            await asyncio.wait_for(self._edge.run(self._edge.engine.broker.client.ping), BOUND_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("health.broker", error=repr(error))
            return BROKER_AWAY
        return BROKER_HERE
