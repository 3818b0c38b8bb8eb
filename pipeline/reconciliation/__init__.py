"""Reconciliation: compares the database with the provider's ledger, both ways, and repairs what a rule may settle."""
