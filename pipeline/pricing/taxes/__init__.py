"""Taxes of a quote: which rates apply, and how they are computed."""
