"""The replication of the database: whether this is the primary, and how far its standbys are behind.

Everything is seen from the primary. `health`, `diagnostics`, the metrics and the monitor say what it means.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DBAPIError, OperationalError

from pipeline.database.hosts import HostsDisagreeError

#: A standby that is further behind is late: changes reach one within a second, also in a rush. After so long a failover
#: to it takes noticeably longer, and people read figures that surprise them.
LATE_SECONDS: Final = 30.0
#: ... also one that does not say how late it is. A checkout writes at most 24 kB of WAL: so much is a rush of minutes,
#: and the primary must keep it.
LATE_BYTES: Final = 1024**3

#: Columns of a query on any server, for every user.
STATE: Final = """
    pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') = 'on' AS is_read_only,
    current_setting('synchronous_standby_names') AS synchronous_names,
    current_setting('synchronous_commit') NOT IN ('off', 'local') AS waits_for_standbys,
    has_table_privilege('pg_catalog.pg_stat_replication', 'SELECT')
        AND has_table_privilege('pg_catalog.pg_replication_slots', 'SELECT') AS may_see
"""

_STATE: Final = text(f"SELECT {STATE}")

# A user without the rights of pg_read_all_stats sees the rows, and NULL in them. `replay_lag` is NULL when there was
# nothing to replay for a while. Backups are connections too, in other states; so are readers of single tables, such as
# change data capture, which are no standbys, however late.
STANDBYS: Final = text("""
    SELECT application_name AS name, state IS NOT NULL AS is_visible, sync_state,
           CAST(extract(epoch FROM coalesce(replay_lag, flush_lag, write_lag)) AS float8) AS lag_seconds,
           CAST(greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, flush_lsn, write_lsn, sent_lsn)), 0)
                AS bigint) AS lag_bytes
    FROM pg_stat_replication r
    WHERE (state IS NULL OR state IN ('streaming', 'catchup'))
      AND NOT (coalesce(sync_state, 'async') = 'async'
               AND EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical'))
    ORDER BY application_name, pid
""")

#: The sentences of health and `diagnose`.
STANDBYS_MISSING: Final = (
    "{count:synchronous standby is|synchronous standbys are} missing: commits wait until it is back, or until"
    " synchronous_standby_names needs fewer"
)
STANDBYS_LATE: Final = (
    "{count:standby is|standbys are} more than "
    f"{LATE_SECONDS:.0f} s or {LATE_BYTES // 1024**3} GiB behind: see its host, its network and its longest query"
)
STANDBY_ONLY: Final = (
    "DATABASE_URL leads to a standby, which takes no writes: name the primary, or all hosts of the cluster."
)
UNSEEN: Final = "The database user may not see the standbys: run `checkout roles apply`, or grant it pg_read_all_stats."


@dataclass(frozen=True, slots=True)
class StandbyLag:
    """A connected standby: how far it is behind. `lag_seconds` is None where it has not said so yet.

    `sync_state` is PostgreSQL's: `sync` or `quorum` where commits wait for it, `potential` or `async` where not.
    """

    name: str
    sync_state: str
    lag_seconds: float | None
    lag_bytes: int

    @property
    def distance(self) -> str:
        """How far it is behind, in words and without its name."""
        seconds = "an unknown time" if self.lag_seconds is None else f"{self.lag_seconds:.1f} s"
        return f"{seconds} and {self.lag_bytes} bytes"

    @property
    def is_late(self) -> bool:
        """Whether it is too far behind."""
        return (self.lag_seconds or 0.0) > LATE_SECONDS or self.lag_bytes > LATE_BYTES


@dataclass(frozen=True, slots=True)
class Replication:
    """The replication as this connection sees it.

    `synchronous` is how many standbys each commit waits for. `standbys` is None where the user may not see them.
    """

    is_standby: bool
    is_read_only: bool
    synchronous: int
    standbys: tuple[StandbyLag, ...] | None

    @property
    def missing(self) -> int | None:
        """How many synchronous standbys are missing: while it is not 0, commits wait. None: it cannot be seen."""
        if self.synchronous == 0:
            return 0
        if self.standbys is None:
            return None
        here = sum(each.sync_state in {"sync", "quorum"} for each in self.standbys)
        return max(0, self.synchronous - here)

    @property
    def late(self) -> tuple[StandbyLag, ...]:
        """The standbys that are too far behind."""
        return tuple(each for each in self.standbys or () if each.is_late)

    @property
    def objection(self) -> str | None:
        """Why nothing can be written here, in one sentence."""
        if self.is_standby:
            return STANDBY_ONLY
        if self.is_read_only:
            return "PostgreSQL takes no writes: set default_transaction_read_only to off there."
        return None

    @property
    def sentences(self) -> list[str]:
        """One sentence for each connected standby, or why there is none to see."""
        if self.standbys is None:
            return [UNSEEN]
        return [f"Standby {each.name} ({each.sync_state}) is behind by {each.distance}." for each in self.standbys]


def explain_no_writes(error: BaseException) -> str | None:
    """Return the sentence for a database that answers, and that nothing may be written to; None for other errors."""
    if not isinstance(error, DBAPIError):
        return None
    if isinstance(error.orig, HostsDisagreeError):
        return str(error.orig)
    if isinstance(error.orig, ReadOnlySqlTransaction):
        return "DATABASE_URL leads to a standby, or default_transaction_read_only is on there: nothing can be written."
    # Of several hosts none takes writes. libpq has words for this, and no code: where they are translated, the
    # database is reported as one that does not answer.
    is_led_to_standbys = re.search("session is read-only|server is in hot standby mode", str(error.orig)) is not None
    return STANDBY_ONLY if isinstance(error, OperationalError) and is_led_to_standbys else None


def read_replication(connection: Connection) -> Replication:
    """Read it, in two short queries; nobody needs a right for it."""
    return see_replication(connection, connection.execute(_STATE).one())


def see_replication(connection: Connection, state: Row[Any]) -> Replication:
    """Read the standbys, in one query; the row of another one has the columns STATE."""
    return Replication(
        is_standby=state.is_standby,
        is_read_only=state.is_read_only,
        synchronous=_count_synchronous(state.synchronous_names) if state.waits_for_standbys else 0,
        standbys=_read_standbys(connection, state),
    )


def _read_standbys(connection: Connection, state: Row[Any]) -> tuple[StandbyLag, ...] | None:
    if state.is_standby:
        return ()
    rows = connection.execute(STANDBYS).all() if state.may_see else None
    if rows is None or not all(row.is_visible for row in rows):
        return None
    return tuple(
        # What is replayed is not late, whatever the last measurement was.
        StandbyLag(row.name, row.sync_state, row.lag_seconds if row.lag_bytes else 0.0, row.lag_bytes)
        for row in rows
    )


def _count_synchronous(names: str) -> int:
    """Return how many standbys a commit waits for: `a, b` and `*` mean one, `ANY 2 (a, b, c)` two."""
    if not names.strip():
        return 0
    found = re.match(r"\s*(?:(?:first|any)\s+)?(\d+)\s*\(", names, re.IGNORECASE)
    return int(found[1]) if found is not None else 1
