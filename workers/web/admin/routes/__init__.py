"""The routes of the admin pages."""
