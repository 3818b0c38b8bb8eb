"""The broker: dramatiq's on Redis, in batches."""
