"""Payments: their state, the leases of gateway calls, and the rows that both are kept in.

Public modules: `gateway_calls` (calls of one process), `late_funds` (money found after the end), `operation` (one
intended call), `payment` (the state and what comes next), `retry_policy`, `undo` (void or refund).
"""

from pipeline.payments.leases import CallResult, PlannedCall, take_leases
from pipeline.payments.payment import Intent, PaymentState
from pipeline.payments.storage import abandon, load_payments, store_results

__all__ = [
    "CallResult",
    "Intent",
    "PaymentState",
    "PlannedCall",
    "abandon",
    "load_payments",
    "store_results",
    "take_leases",
]
