"""Cells: engines with servers of their own, each for some of the shops, behind a proxy that reads where a request goes.

Public modules: none.
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily
from pipeline.operations.cells.addresses import CellAddress, parse_cells
from pipeline.operations.cells.haproxy import write_haproxy

# Imported at their first use: the proxy's map needs no database.
if TYPE_CHECKING:
    from pipeline.operations.cells.move import Moving, move_owner, plan_move
    from pipeline.operations.cells.moved_keys import list_moved_keys
    from pipeline.operations.cells.obstacles import CannotMoveError
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "Moving": "move",
            "move_owner": "move",
            "plan_move": "move",
            "list_moved_keys": "moved_keys",
            "CannotMoveError": "obstacles",
        },
    )

__all__ = [
    "CannotMoveError",
    "CellAddress",
    "Moving",
    "list_moved_keys",
    "move_owner",
    "parse_cells",
    "plan_move",
    "write_haproxy",
]
