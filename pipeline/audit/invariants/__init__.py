"""What must always be true, as queries that must return no row (run by pipeline/audit/report.py)."""
