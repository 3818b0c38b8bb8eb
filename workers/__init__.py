"""Processes, thin: the broker, the actors, the scheduler."""
