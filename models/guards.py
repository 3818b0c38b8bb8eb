"""SQLSTATEs with which triggers refuse a change, for every client, `psql` included.

The triggers and their functions are in migrations/sql: guards.sql, history.sql, frozen.sql, names.sql and moves.sql.
"""

from typing import Final

CART_LOCKED: Final = "CK001"  #: an active checkout makes its cart read-only
APPEND_ONLY: Final = "CK002"  #: the row is history
OWNER_MOVING: Final = "CK004"  #: the owner of the row moves to another cell
BEYOND_BOUND: Final = "CK005"  #: a refund beyond what was captured, or units beyond what was ordered or sold
BAD_TRANSITION: Final = "CK003"  #: there is no such transition (models/states.py)
