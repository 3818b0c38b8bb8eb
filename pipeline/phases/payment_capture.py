"""Phase 6: capture exactly the order total; its intent is the pivot. Undo: refund what was taken."""

from pipeline.payments.plan import plan_capture as plan
from pipeline.payments.plan import plan_undo

__all__ = ["plan", "plan_undo"]
