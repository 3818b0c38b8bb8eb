"""The checkout's row: what a phase works on, the row locks, and the audit trail."""
