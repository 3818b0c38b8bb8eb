"""Readers of files: product exports, tax tables, exchange rates."""
