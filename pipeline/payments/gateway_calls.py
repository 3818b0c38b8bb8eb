"""Gateway calls of one process: bounded in number, none with a transaction open, none that outlives its lease."""

import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, Protocol, TypeVar
from uuid import UUID

import structlog

from pipeline.database import assert_no_transaction
from pipeline.gateways import Gateway
from pipeline.gateways.gateway import Misconfigured

log = structlog.get_logger()

#: Answers that arrive within this time of each other are stored in one transaction. A batch of calls takes as long at
#: a provider that answers at once; a single purchase waits only for its own answer.
GATHER_SECONDS: Final = 0.05


class Answered(Protocol):
    """The result of a planned call. `subject_id` is what it belongs to and is stepped by; `answer` is the provider's.

    The answer is None when the call was not made.
    """

    @property
    def subject_id(self) -> UUID:
        """The id that the step with this answer gets."""

    @property
    def answer(self) -> object:
        """The gateway's answer, one of its closed set."""


Result = TypeVar("Result", bound=Answered)
Result_co = TypeVar("Result_co", bound=Answered, covariant=True)


class Planned(Protocol[Result_co]):
    """A leased call that knows how it is made, and which result it has when it is not made, or raises."""

    @property
    def names(self) -> Mapping[str, str]:
        """What a log line says of it."""

    def make(self, gateway: Gateway) -> Result_co:
        """Make the call."""

    def leave(self) -> Result_co:
        """Return the result of a call that was not made."""

    def note(self, error: str) -> Result_co:
        """Return the result of a call that raised: its outcome is unknown."""


class Calls:
    """Makes calls on threads, at most `concurrency` at once."""

    def __init__(self, concurrency: int, patience_seconds: float) -> None:
        """Make at most `concurrency` calls at once. A call that begins within `patience_seconds` ends in its lease."""
        self._patience_seconds = patience_seconds
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="gateway")

    def submit(self, gateway: Gateway, planned: Planned[Result], began: float) -> Future[Result]:
        """Make a call on a thread; `began` is when its lease's transaction began. Raises within a transaction."""
        assert_no_transaction()
        return self._threads.submit(self._call, gateway, planned, began)

    def close(self) -> None:
        """Wait for the calls in flight and end the threads."""
        self._threads.shutdown()

    def _call(self, gateway: Gateway, planned: Planned[Result], began: float) -> Result:
        """Make the call; leave it if its lease could end first: after slow calls before it, or a long pause."""
        if time.monotonic() - began > self._patience_seconds:
            log.warning("gateway.not_called", **planned.names)
            return planned.leave()
        try:
            result = planned.make(gateway)
        except Exception as error:
            log.exception("gateway.raised", **planned.names)
            return planned.note(repr(error)[:500])
        if isinstance(result.answer, Misconfigured):
            log.error("gateway.misconfigured", error=result.answer.error, **planned.names)
        return result


def gather(in_flight: set[Future[Result]], seconds: float | None) -> tuple[list[Result], set[Future[Result]]]:
    """Wait at most `seconds` for one answer, then `GATHER_SECONDS` for others; return the answers and the rest."""
    done, left = wait(in_flight, timeout=GATHER_SECONDS)
    if not done:
        wait(in_flight, timeout=seconds, return_when=FIRST_COMPLETED)
        done, left = wait(in_flight, timeout=GATHER_SECONDS)
    return [each.result() for each in done], left
