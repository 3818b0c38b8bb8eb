"""Gateway calls of one process: so many at once, none with a transaction open, none that outlives its lease."""

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, assert_never

import structlog

from pipeline.database import assert_no_transaction
from pipeline.gateways import Gateway
from pipeline.gateways.gateway import Answer, Misconfigured, Unknown, Verb
from pipeline.payments.leases import CallResult, PlannedCall

log = structlog.get_logger()

#: Answers that arrive within this time of each other are written in one transaction. As long as a batch of calls takes
#: at a bank that answers at once; a purchase alone waits for none but its own.
GATHER_SECONDS: Final = 0.05


class Calls:
    """Makes calls on threads, at most so many at once."""

    def __init__(self, concurrency: int, patience_seconds: float) -> None:
        """Make so many at once. A call must be begun so soon after its lease that it ends before that runs out."""
        self._patience_seconds = patience_seconds
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="gateway")

    def submit(self, gateway: Gateway, planned: PlannedCall, began: float) -> Future[CallResult]:
        """Make a call on a thread; `began` is when the transaction did that leased it. Raises within a transaction."""
        assert_no_transaction()
        return self._threads.submit(lambda: CallResult(planned, self._call(gateway, planned, began)))

    def close(self) -> None:
        """Wait for the calls in flight and end the threads."""
        self._threads.shutdown()

    def _call(self, gateway: Gateway, planned: PlannedCall, began: float) -> Answer | None:
        """Make the call, or None when its lease could run out under it: after a queue of slow ones, or a long pause."""
        names = {"checkout_id": str(planned.call.checkout_id), "verb": planned.verb}
        if time.monotonic() - began > self._patience_seconds:
            log.warning("gateway.not_called", **names)
            return None
        try:
            answer = call_gateway(gateway, planned)
        except Exception as error:
            log.exception("gateway.raised", **names)
            return Unknown(repr(error)[:500])
        if isinstance(answer, Misconfigured):
            log.error("gateway.misconfigured", error=answer.error, **names)
        return answer


def call_gateway(gateway: Gateway, planned: PlannedCall) -> Answer:
    """Make one planned call."""
    match planned.verb:
        case Verb.OPEN:
            return gateway.open(planned.call)
        case Verb.AUTHORIZE:
            return gateway.authorize(planned.call)
        case Verb.CAPTURE:
            return gateway.capture(planned.call)
        case Verb.CANCEL:
            return gateway.cancel(planned.call)
        case Verb.REFUND:
            return gateway.refund(planned.call)
        case Verb.RETRIEVE:
            return gateway.retrieve(planned.call)
        case _:
            assert_never(planned.verb)


def gather(
    in_flight: set[Future[CallResult]], seconds: float | None
) -> tuple[list[CallResult], set[Future[CallResult]]]:
    """Wait for at least one answer, but no longer than this, and a moment for its neighbours."""
    done, left = wait(in_flight, timeout=GATHER_SECONDS)
    if not done:
        wait(in_flight, timeout=seconds, return_when=FIRST_COMPLETED)
        done, left = wait(in_flight, timeout=GATHER_SECONDS)
    return [each.result() for each in done], left
