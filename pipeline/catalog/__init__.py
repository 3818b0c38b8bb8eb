"""Variants, prices, stock, tax rates, exchange rates."""
