"""Load shedding: new checkouts are refused while started ones wait too long for their workers."""

import math
import time
from typing import Final

from sqlalchemy import Connection, text

from pipeline.errors import Code, Unavailable
from pipeline.saga import get_chain
from workers.web.context import WebContext

#: One reading serves all requests for this long.
SHARED_SECONDS: Final = 1.0

# The oldest of each phase, through the index: one row for each. Redelivered ones are left out: one checkout that no
# worker can process would otherwise shed all others.
WAITED: Final = text("""
    SELECT CAST(coalesce(max(extract(epoch FROM now() - oldest.sent_at)), 0) AS float8)
    FROM generate_series(0, :last) AS done (phases),
         LATERAL (SELECT c.sent_at FROM checkouts c
                  WHERE c.due_reason = 'stalled' AND c.state = 'running' AND c.phase = done.phases AND c.attempts = 0
                  ORDER BY c.sent_at LIMIT 1) AS oldest
""")


class LoadShedding:
    """Sheds load by the time for which checkouts wait for their workers. For one event loop."""

    def __init__(self, context: WebContext) -> None:
        """Read with this context's connections."""
        self._context = context
        self._bound = context.settings.web_load_shed_after_seconds
        self._waited_seconds = 0.0
        self._until = 0.0

    async def admit(self) -> None:
        """Return if a new checkout may start; Unavailable while one has waited for its worker beyond the bound."""
        if time.monotonic() >= self._until:
            # Requests during a reading use the last one: a database that hangs delays no request here.
            self._until = time.monotonic() + SHARED_SECONDS
            self._waited_seconds = await self._context.read(read_waited)
        if self._waited_seconds > self._bound:
            raise Unavailable(Code.OVERLOADED, seconds=max(1, math.ceil(self._bound / 2)))


def read_waited(connection: Connection) -> float:
    """Return for how long the oldest fresh message of any phase has been waiting, in seconds."""
    seconds: float = connection.execute(WAITED, {"last": len(get_chain()) - 1}).scalar_one()
    return seconds
