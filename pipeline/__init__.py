"""What happens: plain functions over a database connection. No broker, no web framework."""
