"""The audit in one statement, for the end of every test: its forty queries would take a tenth of a test's time."""

from typing import Final

from sqlalchemy import Connection, text

from pipeline.audit.report import check, list_invariants
from pipeline.checkouts.conditions import bind_conditions
from pipeline.settings import Settings

_ALL: Final = list_invariants()
#: Those that are a query. Others read rows and compute.
ANY_BROKEN: Final = text(f"SELECT {' OR '.join(f'EXISTS ({each.sql})' for each in _ALL if each.search is None)}")
SEARCHES: Final = [each.search for each in _ALL if each.search is not None]


def assert_sound(connection: Connection, settings: Settings) -> None:
    """Assert that every invariant holds, in the connection's transaction; the audit names those that do not."""
    is_broken = connection.execute(ANY_BROKEN, {**bind_conditions(settings), "queued": []}).scalar_one()
    if is_broken or any(list(search(connection, None)) for search in SEARCHES):
        named = [f"{each.invariant}, {each.count}: {each.rows}" for each in check(connection, settings).violations]
        raise AssertionError("\n".join(named) or "The audit in one statement sees what the audit does not see.")
