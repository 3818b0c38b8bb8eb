"""Moments on the command line: without a zone they are UTC."""

from datetime import UTC, datetime


def put_into_utc(given: datetime | None) -> datetime | None:
    """Return a moment that an option names in UTC; None for an option that was left out."""
    return None if given is None else given.replace(tzinfo=given.tzinfo or UTC)
