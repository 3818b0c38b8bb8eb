"""JSON responses of the admin routes."""
