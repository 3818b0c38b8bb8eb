"""The audit: every invariant as a query that must return no row.

Public modules: none.
"""

from pipeline.audit.report import AuditReport, Violation, audit, check, check_history, take_report

__all__ = ["AuditReport", "Violation", "audit", "check", "check_history", "take_report"]
