"""Intake: requests, the commands that run them, idempotency, and a checkout's status."""
