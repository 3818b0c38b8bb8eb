"""Captured payments of placed orders, as the provider shows them: read, applied, and read again while it matters.

`ChargeReader` reads them, `schedule_charge_reads` has them read again.
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily
from pipeline.orders.charges.schedule import schedule_charge_reads

# Imported at its first use: it needs the ends of changes, and what ends them schedules reads.
if TYPE_CHECKING:
    from pipeline.orders.charges.reader import ChargeReader
else:
    __getattr__ = import_lazily(__name__, {"ChargeReader": "reader"})

__all__ = ["ChargeReader", "schedule_charge_reads"]
