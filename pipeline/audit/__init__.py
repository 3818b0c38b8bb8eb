"""The audit: every invariant as a query that must return no row."""
