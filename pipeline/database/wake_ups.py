"""Which long polls a transaction wakes once it has committed.

Not NOTIFY in the transaction: its commit takes a lock of the whole server, which is held while a synchronous standby is
waited for. A wake-up may be lost, because a long poll looks at the row now and then.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

_WOKEN: Final = "checkout.woken"


def wake_after_commit(connection: Connection, checkout_ids: Sequence[UUID]) -> None:
    """Wake the long polls of these checkouts when the transaction of this connection has committed."""
    if checkout_ids:
        connection.info.setdefault(_WOKEN, []).extend(checkout_ids)


def take_wake_ups(connection: Connection) -> list[UUID]:
    """Return whom the transaction of this connection wakes, and forget them."""
    found: list[UUID] = connection.info.pop(_WOKEN, [])
    return found
