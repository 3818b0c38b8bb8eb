"""Ports to the broker, and rejected messages. No broker is imported here."""
