"""Refunds of a part of what was captured: their rows, the calls about them, and what the provider shows of them.

`apply_shown_refund` settles a refund by what the provider shows, with all that follows for its change.
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily
from pipeline.orders.refunds.row import Refund, find_refunds, load_refunds

# Imported at its first use: it needs the ends of changes, which need the rows of refunds.
if TYPE_CHECKING:
    from pipeline.orders.refunds.shown import ShownEffect, ShownResult, apply_shown_refund
else:
    __getattr__ = import_lazily(
        __name__, {"ShownEffect": "shown", "ShownResult": "shown", "apply_shown_refund": "shown"}
    )

__all__ = ["Refund", "ShownEffect", "ShownResult", "apply_shown_refund", "find_refunds", "load_refunds"]
