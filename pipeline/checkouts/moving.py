"""Owners that move to another cell: nothing new starts for them here."""

from typing import Final

from sqlalchemy import Connection, text

from models.states import MoveState
from pipeline.errors import Code, Refused

#: For one request a repeat after some seconds is cheap, and most moves of small shops take no longer.
RETRY_SECONDS: Final = 5

FIND: Final = text("SELECT cell, state FROM owner_moves WHERE owner = :owner AND state <> 'arrived'")


def refuse_moving(connection: Connection, owner: str) -> None:
    """Raise Refused while this owner moves to another cell, and once it lives there."""
    found = connection.execute(FIND, {"owner": owner}).one_or_none()
    if found is not None:
        raise explain_move(found.cell, MoveState(found.state))


def explain_move(cell: str, state: MoveState) -> Refused:
    """Return why a request is refused whose owner is this far in its move to a cell."""
    if state is MoveState.MOVED:
        return Refused(Code.CELL_WRONG, cell=cell)
    return Refused(Code.OWNER_MOVING, cell=cell, seconds=RETRY_SECONDS)
