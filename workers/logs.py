"""Logs as events: a name and keys. JSON for machines, colours on a terminal.

No line has a card number, or anything that acts on a terminal: control characters of others' texts become codes.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pipeline.security.card_numbers import redact
from pipeline.security.printable import make_printable
from pipeline.settings import Settings

#: Characters of a traceback that are logged, the first ones; of any other text `redact` has its own bound.
MAX_TRACEBACK: Final = 65_536


class RedactedRecord(logging.LogRecord):
    """A record of the standard library, printable and without card numbers: `dramatiq -v` prints whole messages."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of a record."""
        super().__init__(*args, **kwargs)
        if self.exc_info:
            # Formatters print this, if it is there, and not the exception.
            self.exc_text = make_printable(
                redact(logging.Formatter().formatException(self.exc_info), MAX_TRACEBACK), most=None, keep="\n"
            )

    def getMessage(self) -> str:  # noqa: N802 (the standard library's name)
        """Return the message with its arguments."""
        return make_printable(redact(super().getMessage()), most=None)


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Remove card numbers from every text of an event, at any depth, and cut it. Numbers and ids stay as they are."""
    kept = {key: _redact_value(value) for key, value in event.items() if key != "exception"}
    if "exception" in event:
        kept["exception"] = redact(str(event["exception"]), MAX_TRACEBACK)
    return kept


def _redact_value(value: Any) -> Any:
    match value:
        case None | int() | float() | UUID():
            return value
        case str():
            return redact(value)
        case Mapping():
            return {key: _redact_value(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redact_value(item) for item in value]
        case _:
            shown = repr(value)
            redacted = redact(shown)
            return value if redacted == shown else redacted


def show_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make every text of an event printable; a traceback keeps its lines."""
    return {key: _show_value(value, "\n" if key == "exception" else "") for key, value in event.items()}


def _show_value(value: Any, keep: str) -> Any:
    match value:
        case None | int() | float() | UUID():
            return value
        case str():
            return make_printable(value, most=None, keep=keep)
        case Mapping():
            return {key: _show_value(item, keep) for key, item in value.items()}
        case list() | tuple():
            return [_show_value(item, keep) for item in value]
        case _:
            return make_printable(repr(value), most=None)


def name_cell(cell: str) -> Processor:
    """Return what adds the name of the cell to every event."""

    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["cell"] = cell
        return event

    return add


def configure_logs(settings: Settings) -> None:
    """Set up structlog for this process; dramatiq's own lines still use the standard library."""
    logging.setLogRecordFactory(RedactedRecord)
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    # Without colours where there is no terminal; JSON is ASCII, so that no text in it acts on a terminal.
    renderer = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *([name_cell(settings.cell)] if settings.cell else []),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact_event,
            *([show_event] if console else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
