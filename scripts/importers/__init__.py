"""Importers of files: product exports, tax tables, exchange rates."""
