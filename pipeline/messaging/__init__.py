"""Messages as the pipeline sees them: what it sends, and what it could not read. No broker."""
