"""Payments: their state, operations, leases, gateway calls, and undo."""
