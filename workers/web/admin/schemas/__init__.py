"""What the admin routes answer as JSON."""
