"""Checks of every request before its route: bounds, API key, rate limit, load shedding."""
