"""The sandbox gateway: the bank's counter, at which any number of threads and processes ask."""

import time
from typing import Final

from pipeline.database import connect_engine
from pipeline.gateways.protocol import Answer, Call, Unknown
from pipeline.gateways.sandbox.ledger import Ledger
from pipeline.gateways.sandbox.requests import Keyed, Request, Unkeyed, Verb, Visit
from pipeline.gateways.sandbox.writer import Writer
from pipeline.settings import Settings

TIMEOUT: Final = Unknown("timeout")


class SandboxGateway:
    """Implements `Gateway` on the tables of models/sandbox.py, over an engine of its own.

    An answer means that the bank has committed. Half of the latency lies before the bank, half behind it, so that a
    caller killed in between leaves either a call never made or an answer never heard.
    """

    name = "sandbox"

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing and start nothing yet: both happen at the first call."""
        own = settings.sandbox_database_url
        url = None if own is None else own.get_secret_value()
        self._timeout_seconds = settings.gateway_timeout_seconds
        self._hang_seconds = min(settings.sandbox_hang_seconds, settings.gateway_timeout_seconds)
        self._latency_seconds = settings.sandbox_latency_seconds
        self._engine = connect_engine(settings, application_name="sandbox", pool_size=1, url=url)
        self._ledger = Ledger(self._engine, hang_seconds=self._hang_seconds)
        self._writer = Writer(self._ledger.carry_out)

    @property
    def commits(self) -> int:
        """Transactions committed so far: far fewer than calls when many ask at once."""
        return self._ledger.commits

    def open(self, call: Call) -> Answer:
        """Create the payment object for `call.amount`."""
        return self._ask(Keyed(Verb.OPEN, call))

    def authorize(self, call: Call) -> Answer:
        """Authorise the amount the object was opened for, as the token says."""
        return self._ask(Keyed(Verb.AUTHORIZE, call))

    def capture(self, call: Call) -> Answer:
        """Take the authorised amount."""
        return self._ask(Keyed(Verb.CAPTURE, call))

    def cancel(self, call: Call) -> Answer:
        """End an object that is not captured."""
        return self._ask(Keyed(Verb.CANCEL, call))

    def refund(self, call: Call) -> Answer:
        """Give the captured amount back."""
        return self._ask(Keyed(Verb.REFUND, call))

    def retrieve(self, call: Call) -> Answer:
        """Look at the object; after the buyer's refusal it is `Declined` until the next authorisation."""
        return self._ask(Unkeyed(Visit.RETRIEVE, call.reference))

    def approve(self, reference: str) -> Answer:
        """Be the buyer who says yes at the bank's page."""
        return self._ask(Unkeyed(Visit.APPROVE, reference))

    def refuse(self, reference: str) -> Answer:
        """Be the buyer who says no at the bank's page: the object is open for another card."""
        return self._ask(Unkeyed(Visit.REFUSE, reference))

    def close(self) -> None:
        """Answer what is waiting, end the thread, give back the connection."""
        self._writer.close()
        self._engine.dispose()

    def _ask(self, request: Request) -> Answer:
        """Ask the bank and wait for its answer, never longer than the time-out."""
        ends_at = time.monotonic() + self._timeout_seconds
        if not _pause(self._latency_seconds / 2, ends_at):
            return TIMEOUT
        future = self._writer.submit(request)
        try:
            reply = future.result(max(0, ends_at - time.monotonic()))
        except TimeoutError:
            return TIMEOUT
        arrives = _pause(self._hang_seconds if reply.hangs else self._latency_seconds / 2, ends_at)
        return reply.answer if arrives else TIMEOUT


def _pause(seconds: float, ends_at: float) -> bool:
    """Sleep, but not past the end; False when the end came first."""
    left = ends_at - time.monotonic()
    if seconds > 0 and left > 0:
        time.sleep(min(seconds, left))
    return seconds <= left
