"""The sandbox bank as a subject: its tokens make it go wrong, and its tables are read by SQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, text

from pipeline.database import connect_engine
from pipeline.gateways.charges import ChargeVerb
from pipeline.gateways.conformance.subject import Fault, Subject, Tokens, Webhook
from pipeline.gateways.gateway import Verb
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.settings import SandboxSettings
from pipeline.gateways.sandbox.webhook_events import Stamp
from pipeline.settings import Settings

#: The words of the bank's tokens. It has no network: what happens to connections is not among them.
WORDS: Final = {
    Fault.TIMEOUT_BEFORE: "timeout_before",
    Fault.TIMEOUT_AFTER: "timeout_after",
    Fault.ERROR_BEFORE: "error",
    Fault.ERROR_AFTER: "error_after",
    Fault.MALFORMED: "malformed",
    Fault.SLOW: "slow",
    Fault.BUSY: "unavailable",
    Fault.ACCESS: "misconfigured",
    Fault.STUCK: "broken",
}

SUMS: Final = text(
    "SELECT coalesce(sum(amount_minor) FILTER (WHERE kind = 'capture'), 0),"
    " coalesce(sum(amount_minor) FILTER (WHERE kind = 'refund'), 0)"
    " FROM sandbox.entries WHERE reference = :reference"
)


@contextmanager
def build(settings: Settings) -> Iterator[Subject]:
    """Give the bank over a real database."""
    # Long enough that a busy machine is not taken for a bank that does not answer.
    patient = settings.model_copy(update={"gateway_timeout_seconds": 2}).with_gateway_options(hang_seconds=0.2)
    gateway = SandboxGateway(patient)
    engine = connect_engine(settings, application_name="conformance", pool_size=1)
    tables = _BankTables(engine, gateway, Stamp(SandboxSettings.read(settings).webhook_secret))
    yield Subject(
        gateway=gateway,
        tokens=Tokens(ok="tok_ok", declined="tok_declined", action="tok_action_required"),
        missing=f"sbx_{'0' * 32}",
        movements=tables.read_sums,
        count_objects=tables.count_objects,
        act_as_buyer=tables.act_as_buyer,
        let_expire=tables.let_expire,
        fail_refund=gateway.dashboard.fail_refund,
        open_dispute=gateway.dashboard.open_dispute,
        make_webhook=tables.make_webhook,
        provoke=provoke,
        faults=frozenset(WORDS),
    )
    gateway.close()
    engine.dispose()


@contextmanager
def provoke(fault: Fault, verb: Verb | ChargeVerb, token: str) -> Iterator[str]:
    """Give the token that makes the verb go wrong."""
    yield f"{token}+tok_{verb}_{WORDS[fault]}"


class _BankTables:
    """The bank's tables, read without its code."""

    def __init__(self, engine: Engine, gateway: SandboxGateway, stamp: Stamp) -> None:
        self._engine, self._gateway, self._stamp = engine, gateway, stamp
        self._numbers = count(1)

    def read_sums(self, reference: str) -> tuple[int, int]:
        """Return what was captured and refunded, line by line of the ledger."""
        with self._engine.connect() as connection:
            captured, refunded = connection.execute(SUMS, {"reference": reference}).one()
        return int(captured), int(refunded)

    def count_objects(self, checkout_id: UUID) -> int:
        """Return how many objects there are of a checkout."""
        sql = text("SELECT count(*) FROM sandbox.payments WHERE checkout_id = :id")
        with self._engine.connect() as connection:
            return int(connection.execute(sql, {"id": checkout_id}).scalar_one())

    def act_as_buyer(self, reference: str, *, approve: bool) -> None:
        """Go to the bank's page."""
        self._gateway.approve(reference) if approve else self._gateway.refuse(reference)

    def let_expire(self, reference: str) -> None:
        """Put the end of the authorisation behind us."""
        sql = text("UPDATE sandbox.payments SET authorized_until = now() WHERE reference = :reference")
        with self._engine.begin() as connection:
            assert connection.execute(sql, {"reference": reference}).rowcount == 1

    def make_webhook(self, reference: str | None, checkout_id: UUID, *, age_seconds: float = 0) -> Webhook:
        """Sign an event that the bank might have sent."""
        at = datetime.now(UTC) - timedelta(seconds=age_seconds)
        event_id = f"evt_test_{next(self._numbers)}"
        kind = "statement.ready" if reference is None else "payment.authorized"
        body = (
            f'{{"type": "{kind}", "timestamp": "{at.isoformat()}",'
            f' "data": {{"reference": "{reference}", "checkout_id": "{checkout_id}"}}}}'
        )
        return Webhook(body.encode(), self._stamp.sign(event_id, body, at=at))
