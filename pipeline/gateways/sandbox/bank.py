"""The sandbox gateway: any number of threads and processes may call its bank."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from datetime import datetime
from typing import Final

from models.money import MAX_MINOR, Money, minor_digits
from pipeline.database import connect_engine
from pipeline.errors import Code, Invalid
from pipeline.gateways.charges import ChargeCall, ChargeRetrieval, FindRefundAnswer, RefundAnswer
from pipeline.gateways.gateway import Answer, Call, Held, InboundWebhook, NotChargeable, Unknown, Verb
from pipeline.gateways.sandbox.charges.dashboard import Dashboard
from pipeline.gateways.sandbox.charges.desk import ChargeDesk
from pipeline.gateways.sandbox.faults import Conduct, Faults
from pipeline.gateways.sandbox.holdings import expire_authorizations, list_objects
from pipeline.gateways.sandbox.ledger import Ledger
from pipeline.gateways.sandbox.requests import Keyed, Reply, Request, Unkeyed, Visit
from pipeline.gateways.sandbox.settings import SandboxSettings
from pipeline.gateways.sandbox.webhook_events import SandboxEvent, Stamp, list_events
from pipeline.gateways.sandbox.writer import Writer
from pipeline.settings import Settings, SettingsError

TIMEOUT: Final = Unknown("timeout")


class SandboxGateway:
    """Implements `Gateway` on the tables of models/sandbox.py, over a database engine of its own.

    An answer means that the bank has committed. Half of the latency is before the bank's work, half after it, so that a
    caller that is killed meanwhile leaves either a call that was never made or an answer that was never received.
    """

    name = "sandbox"

    def __init__(self, settings: Settings, own: SandboxSettings | None = None) -> None:
        """Connect to nothing and start nothing yet: both happen at the first call. `own` is read unless it is given."""
        own = own or SandboxSettings.read(settings)
        url = None if own.database_url is None else own.database_url.get_secret_value()
        self._timeout_seconds = settings.gateway_timeout_seconds
        self._latency_seconds = own.latency_seconds
        secret = own.webhook_secret
        self._stamp = Stamp(secret) if secret.get_secret_value() else None
        # One connection for the writer, one for those that read its tables.
        self._engine = connect_engine(
            settings,
            application_name="sandbox",
            pool_size=2,
            url=url,
            variable="DATABASE_URL" if url is None else "CHECKOUT_SANDBOX_DATABASE_URL",
            by_key=True,
        )
        conduct = Conduct(
            hang_seconds=min(own.hang_seconds, settings.gateway_timeout_seconds),
            slow_seconds=settings.gateway_timeout_seconds / 2,
            authorization_seconds=own.authorization_seconds,
            fault_rate=own.fault_rate,
            fault_seed=own.fault_seed,
        )
        self._ledger = Ledger(self._engine, conduct)
        self._charges = ChargeDesk(self._engine, Faults(conduct))
        self._writer = Writer(self._ledger.carry_out)

    @property
    def call_seconds(self) -> float:
        """The time-out: no call takes longer."""
        return self._timeout_seconds

    @property
    def commits(self) -> int:
        """Transactions committed so far: far fewer than calls when many come at once."""
        return self._ledger.commits

    def chargeable(self, amount: Money) -> Money | NotChargeable:
        """Return every amount that can be stored, to the minor unit."""
        if minor_digits(amount.currency) is None:
            return NotChargeable("the sandbox takes currencies with a minor unit only: use another currency")
        if not 0 < amount.minor <= MAX_MINOR:
            return NotChargeable("the sandbox takes amounts above zero that fit its books: change the cart")
        return amount

    def open(self, call: Call) -> Answer:
        """Create the payment object for `call.amount`."""
        return self._send(Keyed(Verb.OPEN, call))

    def authorize(self, call: Call) -> Answer:
        """Authorise the amount for which the object was opened, as the token asks."""
        return self._send(Keyed(Verb.AUTHORIZE, call))

    def capture(self, call: Call) -> Answer:
        """Capture the authorised amount."""
        return self._send(Keyed(Verb.CAPTURE, call))

    def cancel(self, call: Call) -> Answer:
        """Cancel an object that is not captured."""
        return self._send(Keyed(Verb.CANCEL, call))

    def refund(self, call: Call) -> Answer:
        """Refund the captured amount."""
        return self._send(Keyed(Verb.REFUND, call))

    def retrieve(self, call: Call) -> Answer:
        """Retrieve the object; after the buyer's refusal it is `Declined` until the next authorisation."""
        return self._send(Unkeyed(Visit.RETRIEVE, call.reference))

    def refund_amount(self, call: ChargeCall) -> RefundAnswer:
        """Refund a part of the captured amount."""
        ends_at = time.monotonic() + self._timeout_seconds
        if not _pause(self._latency_seconds / 2, ends_at):
            return TIMEOUT
        told = self._charges.refund_amount(call)
        return told.answer if _pause(max(told.delay_seconds, self._latency_seconds / 2), ends_at) else TIMEOUT

    def find_refund(self, call: ChargeCall) -> FindRefundAnswer:
        """Look for the refund of a key."""
        time.sleep(self._latency_seconds)
        return self._charges.find_refund(call)

    def retrieve_charge(self, call: ChargeCall) -> ChargeRetrieval:
        """Retrieve the captured object with its refunds and disputes."""
        time.sleep(self._latency_seconds)
        return self._charges.retrieve_charge(call)

    @property
    def dashboard(self) -> Dashboard:
        """The bank's own side: refunds made there, refunds that fail later, disputes."""
        return Dashboard(self._engine)

    def approve(self, reference: str) -> Answer:
        """Complete 3-D Secure as the buyer."""
        return self._send(Unkeyed(Visit.APPROVE, reference))

    def refuse(self, reference: str) -> Answer:
        """Fail 3-D Secure as the buyer: the object is open for another card."""
        return self._send(Unkeyed(Visit.REFUSE, reference))

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> InboundWebhook:
        """Verify one of the bank's webhooks and return what it is about."""
        if self._stamp is None:
            raise Invalid(Code.WEBHOOK_INVALID, reason="CHECKOUT_SANDBOX_WEBHOOK_SECRET is not set")
        return self._stamp.read(body, headers)

    def events(self, after_id: int = 0, *, limit: int = 1000) -> list[SandboxEvent]:
        """Return the webhooks after this event, oldest first, signed now.

        One for each line of the ledger: opening an object, or cancelling one without an authorisation, sends nothing.
        Raises SettingsError without a secret to sign them with.
        """
        if self._stamp is None:
            raise SettingsError("Set CHECKOUT_SANDBOX_WEBHOOK_SECRET to whsec_ and some base64.")
        return list_events(self._engine, self._stamp, after_id, limit)

    def list_held(self, since: datetime) -> Iterator[Held]:
        """Yield every object created since then."""
        return list_objects(self._engine, since)

    def expire(self) -> int:
        """Void all expired authorisations, without waiting for a call; return how many."""
        return expire_authorizations(self._engine)

    def close(self) -> None:
        """Answer the waiting requests, end the thread, close the connections."""
        self._writer.close()
        self._engine.dispose()

    def _send(self, request: Request) -> Answer:
        """Send a request to the bank and wait for its answer, never longer than the time-out."""
        ends_at = time.monotonic() + self._timeout_seconds
        if not _pause(self._latency_seconds / 2, ends_at):
            return TIMEOUT
        reply = _wait(self._writer.submit(request), ends_at)
        if reply is None:
            return TIMEOUT
        arrives = _pause(max(reply.delay_seconds, self._latency_seconds / 2), ends_at)
        return reply.answer if arrives else TIMEOUT


def _wait(future: Future[Reply], ends_at: float) -> Reply | None:
    """Wait for the bank's reply, at most until the end; return None when the end came first."""
    try:
        return future.result(max(0, ends_at - time.monotonic()))
    except TimeoutError:
        return None


def _pause(seconds: float, ends_at: float) -> bool:
    """Sleep, at most until the end; return False when the end came first."""
    left = ends_at - time.monotonic()
    if seconds > 0 and left > 0:
        time.sleep(min(seconds, left))
    return seconds <= left
