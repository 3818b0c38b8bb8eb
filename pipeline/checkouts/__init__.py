"""The checkout's row: what a phase works on and what it may answer, every row lock, and the audit trail.

Public modules: `batch` (how a batch is divided), `conditions` (expired, stuck, needs review: one definition each),
`events` (audit trail and outbox), `locks` (every row lock), `progress` (phases completed, phases to undo).
"""

from pipeline.checkouts.batch import Done, LockedCheckout, PhaseResult, Rejected, Retry, Review, Wait
from pipeline.checkouts.expected import Expected

__all__ = ["Done", "Expected", "LockedCheckout", "PhaseResult", "Rejected", "Retry", "Review", "Wait"]
