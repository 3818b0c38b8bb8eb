"""The one table of command lines: the commands that advice, diagnostics, health and error sentences name.

Words in capitals stand for a value.
"""

from enum import StrEnum
from typing import Any


class CommandLine(StrEnum):
    """A command of `checkout`, as it is typed."""

    UP = "checkout up"
    MONITOR = "checkout monitor"
    MONITOR_WATCH = "checkout monitor --watch"
    SHOW = "checkout checkouts show ID"
    RELEASE = "checkout checkouts release ID --reason TEXT"
    RETRY = "checkout checkouts retry ID --reason TEXT"
    LIST_ORDERS = "checkout orders list"
    SHOW_ORDER = "checkout orders show NUMBER"
    SETTLE_CHANGE = "checkout orders settle ID --as done --reason TEXT"
    CLEANUP = "checkout checkouts cleanup"
    DIAGNOSE = "checkout diagnose"
    AUDIT = "checkout audit"
    CREATE_PARTITIONS = "checkout partitions create"
    RECONCILE = "checkout reconcile"
    IMPORT_RATES = "checkout catalog rates FILE"
    CREATE_KEY = "checkout keys create --owner NAME"
    CREATE_ADMIN_KEY = "checkout keys create --owner NAME --scope admin"
    LIST_KEYS = "checkout keys list"
    LIST_WEBHOOKS = "checkout webhooks list"
    LIST_DEAD_LETTERED = "checkout webhooks deliveries --dead-lettered"
    REPLAY_DELIVERIES = "checkout webhooks replay"
    REPLAY_INVOICES = "checkout replay FILE"
    CONTRACTS = "checkout contracts"

    def of(self, checkout_id: Any) -> str:
        """Return the command line with this id for ID."""
        return self.replace(" ID", f" {checkout_id}", 1)
