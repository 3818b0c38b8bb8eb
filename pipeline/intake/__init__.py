"""Intake: the service that starts, processes, cancels, releases and retries checkouts, and their status.

Public modules: `idempotency` (stored responses), `requests` (every
request, checked on receipt), `result` (of a command), `starting` (starts, many at once), `status` (where a
checkout stands).
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily
from pipeline.intake.requests import PaymentInput, ProcessRequest, StartRequest
from pipeline.intake.status import STABLE, STATE_NAMES, Status, read_status

# Imported at its first use: code that reads a checkout or describes a request does not need the service.
if TYPE_CHECKING:
    from pipeline.intake.service import CheckoutService
else:
    __getattr__ = import_lazily(__name__, {"CheckoutService": "service"})


__all__ = [
    "STABLE",
    "STATE_NAMES",
    "CheckoutService",
    "PaymentInput",
    "ProcessRequest",
    "StartRequest",
    "Status",
    "read_status",
]
