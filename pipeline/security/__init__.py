"""API keys, sessions of the admin pages, and what must not be kept or shown."""
