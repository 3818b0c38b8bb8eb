"""Phase 4: authorise exactly the frozen total. Undo: void, or refund if it turned out captured."""

from pipeline.payments.plan import plan_authorization as plan
from pipeline.payments.plan import plan_undo

__all__ = ["plan", "plan_undo"]
