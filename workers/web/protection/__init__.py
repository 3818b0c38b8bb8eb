"""What every request passes before a route sees it: bounds, API key, rate limit, load shedding."""
