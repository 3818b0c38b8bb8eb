"""The checkout's row: what a phase works on, every row lock, and the audit trail."""
