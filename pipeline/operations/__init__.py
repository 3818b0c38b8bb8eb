"""For operators: statistics, health, diagnostics, search, detail, advice, and the command lines to run.

Public modules: `advice`, `cells` (their proxy, and the move of an owner), `checkout_search`, `detachment` and
`partitions` (of months), `diagnostics`, `health`, `order_detail`, `order_search`, `replication`, `statistics`.
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily
from pipeline.operations.commands import CommandLine

# Imported at their first use: commands that start quickly need only the command lines, and all the rest of this room
# needs SQLAlchemy and the saga (500 modules more).
if TYPE_CHECKING:
    from pipeline.operations.advice import advise
    from pipeline.operations.checkout_detail import CheckoutDetail, read_detail
    from pipeline.operations.checkout_search import read_page
    from pipeline.operations.diagnostics import diagnose
    from pipeline.operations.statistics import Stats, read_stats
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "advise": "advice",
            "CheckoutDetail": "checkout_detail",
            "read_detail": "checkout_detail",
            "read_page": "checkout_search",
            "diagnose": "diagnostics",
            "Stats": "statistics",
            "read_stats": "statistics",
        },
    )


__all__ = ["CheckoutDetail", "CommandLine", "Stats", "advise", "diagnose", "read_detail", "read_page", "read_stats"]
