"""Reconciliation: the provider's payments and those stored here, compared both ways; safe findings are repaired.

Public modules: `explanations` (a sentence for each finding).
"""

from pipeline.reconciliation.comparison import OnProgress, reconcile
from pipeline.reconciliation.findings import Comparison, Finding, FindingKind
from pipeline.reconciliation.local_records import read_clock
from pipeline.reconciliation.orphaned_payments import Repair
from pipeline.reconciliation.repair import Repairer

__all__ = ["Comparison", "Finding", "FindingKind", "OnProgress", "Repair", "Repairer", "read_clock", "reconcile"]
