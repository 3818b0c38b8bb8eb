"""The checkout's row: what a phase works on and what it returns, the row locks, and the audit trail.

Public modules: `batch` (how a batch is divided), `conditions` (expired, stuck, needs review: one definition each),
`events` (audit trail and outbox), `locks` (all row locks), `moving` (owners that move to another cell),
`order_conditions` (of changes of orders), `progress` (phases completed, phases to undo).
"""

from pipeline.checkouts.batch import Done, LockedCheckout, PhaseResult, Rejected, Retry, Review, Wait
from pipeline.checkouts.expected import Expected

__all__ = ["Done", "Expected", "LockedCheckout", "PhaseResult", "Rejected", "Retry", "Review", "Wait"]
