"""Moments in queries: a day, as browsers' forms have it, or a date with a time."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema


def _begin_dated(given: object) -> object:
    # A bare number would be read as seconds since 1970, which is never meant.
    if isinstance(given, str) and not re.match(r"\d{4}-\d{2}-\d{2}", given, re.ASCII):
        raise ValueError("it is not a date such as 2026-11-26, with or without a time")
    return given


def _put_into_utc(given: datetime) -> datetime:
    return given.replace(tzinfo=given.tzinfo or UTC)


#: A day, from a browser's form, or a moment.
Moment = Annotated[
    datetime,
    BeforeValidator(_begin_dated),
    AfterValidator(_put_into_utc),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}),
]
