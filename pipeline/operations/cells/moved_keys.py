"""The keys of owners that were moved away, for the proxy's map."""

from typing import Final

from sqlalchemy import Connection, text

MOVED: Final = text("""
    SELECT k.id, m.cell FROM api_keys k JOIN owner_moves m ON m.owner = k.owner
    WHERE m.state = 'moved' AND k.revoked_at IS NULL ORDER BY k.id
""")


def list_moved_keys(connection: Connection) -> list[tuple[str, str]]:
    """Return the id and the cell of each key of an owner that lives in another cell."""
    return [(row.id, row.cell) for row in connection.execute(MOVED)]
