"""Shared tools of the engine's tests: snapshots of the whole database, a gateway with a spy, and failing writes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from models.money import Money
from models.states import TERMINAL, CheckoutState
from pipeline.errors import Refused
from pipeline.gateways import Gateway
from pipeline.gateways.charges import ChargeCall, ChargeRetrieval, FindRefundAnswer, RefundAnswer
from pipeline.gateways.gateway import Answer, Call, Held, InboundWebhook, NotChargeable
from pipeline.gateways.sandbox.invariants import BankTotals, read_totals
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works, build_works
from tests.support.patience import WAIT_SECONDS
from tests.support.soundness import assert_sound
from tests.support.tables import TABLES

Snapshot = dict[str, list[str]]

#: Longest wait for back-offs to run out: the tests' settings count them in tenths of a second.
PATIENCE_SECONDS = WAIT_SECONDS

NOTHING = BankTotals(0, 0, 0)

#: The stable states of a checkout without its buyer: ended, or in review.
RESTING = TERMINAL | {CheckoutState.NEEDS_REVIEW}

#: Every table but one, which each sweep changes.
SNAPSHOT_TABLES = [name for name in TABLES if name != "heartbeats"]
EVERY_ROW = text(
    " UNION ALL ".join(
        f"SELECT '{name}', (to_jsonb(t) - CAST(:without AS text[]))::text FROM {name} t" for name in SNAPSHOT_TABLES
    )
)


def take_snapshot(engine: Engine, *, without: Sequence[str] = ("updated_at",)) -> Snapshot:
    """Return every row of every table, the bank's included, without the named columns."""
    with engine.begin() as connection:
        return read_rows(connection, without=without)


def read_rows(connection: Connection, *, without: Sequence[str] = ("updated_at",)) -> Snapshot:
    """Return the same, as seen by this connection's transaction."""
    rows: Snapshot = {name: [] for name in SNAPSHOT_TABLES}
    for name, row in connection.execute(EVERY_ROW, {"without": list(without)}):
        rows[name].append(row)
    return {name: sorted(found) for name, found in rows.items()}


def count_rows(engine: Engine) -> dict[str, int]:
    """Return the number of rows of each table that is not empty."""
    return {name: len(rows) for name, rows in take_snapshot(engine).items() if rows}


def start_many(works: Works, shelf: Shelf, count: int, card: str | None = "tok_ok") -> list[UUID]:
    """Start this many checkouts of two lines each, 700 in all, with stock for all of them; return their ids."""
    shelf.add_variant("cup", stock=20, price_minor=250)
    shelf.add_variant("pot", stock=20, price_minor=225)
    return [works.start(shelf.add_cart(("cup", 1), ("pot", 2)), token=card) for _ in range(count)]


def read_events(engine: Engine, checkout_id: UUID) -> list[tuple[str, str | None]]:
    """Return the events of a checkout: kinds with their phases, in order."""
    sql = text("SELECT kind, phase FROM events WHERE checkout_id = :id ORDER BY id")
    with engine.connect() as connection:
        return [(row.kind, row.phase) for row in connection.execute(sql, {"id": checkout_id})]


def settle(
    works: Works, ids: Sequence[UUID], *, until: frozenset[CheckoutState] = TERMINAL, without_leases: bool = False
) -> list[str]:
    """Sweep and pump until each of these checkouts is in one of these states, within bounds; return the states.

    With `without_leases` the leases of workers that are gone have expired.
    """
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        if without_leases:
            run_leases_out(works.engine)
        works.sweep()
        works.pump()
        states = works.states(ids)
        if all(state in until for state in states) or time.monotonic() > ends_at:
            return states
        time.sleep(0.02)


def run_leases_out(engine: Engine) -> None:
    """Expire the leases of calls that are not in flight any more."""
    with engine.begin() as connection:
        leased = connection.execute(
            text("UPDATE payment_operations SET leased_until = now() WHERE leased_until > now() RETURNING checkout_id")
        ).scalars()
        connection.execute(
            text("UPDATE checkouts SET due_at = now() WHERE due_reason = 'scheduled' AND id = ANY(:ids)"),
            {"ids": list(leased)},
        )


def read_bank(engine: Engine, checkout_id: UUID) -> BankTotals:
    """Return the bank's totals of this checkout; zeros if the bank does not know it."""
    with engine.begin() as connection:
        return read_totals(connection, [checkout_id]).get(checkout_id, NOTHING)


def assert_refused(works: Works, act: Callable[[], object], kind: type[Refused], code: str, sentence: str) -> None:
    """Assert that this is refused with this code and sentence, and that nothing was changed or sent."""
    before, sent = take_snapshot(works.engine), len(works.line.sent)
    with pytest.raises(kind) as refusal:
        act()
    assert (refusal.value.code, str(refusal.value), refusal.value.committed) == (code, sentence, False)
    assert take_snapshot(works.engine) == before
    assert len(works.line.sent) == sent


@contextmanager
def build_audited(engine: Engine, settings: Settings, gateway: Gateway | None = None) -> Iterator[Works]:
    """Yield an engine with the test's own settings or gateway; the audit must be clean at its end."""
    with build_works(engine, settings, gateway) as works:
        yield works
        with engine.begin() as connection:
            assert_sound(connection, settings)


Told = TypeVar("Told")


@dataclass
class Spy:
    """A gateway that records calls and lets the test act during a call.

    `before` and `after` are called with the verb and the call around the real one; `replace` may change the answer.
    Calls about charges have their own.
    """

    inner: Gateway
    before: Callable[[str, Call], None] | None = None
    after: Callable[[str, Call], None] | None = None
    replace: Callable[[str, Answer], Answer] | None = None
    name: str = "sandbox"
    calls: list[tuple[str, Call]] = field(default_factory=list)
    before_charge: Callable[[str, ChargeCall], None] | None = None
    after_charge: Callable[[str, ChargeCall], None] | None = None
    charge_calls: list[tuple[str, ChargeCall]] = field(default_factory=list)

    def _call(self, verb: str, call: Call) -> Answer:
        self.calls.append((verb, call))
        if self.before is not None:
            self.before(verb, call)
        answer: Answer = getattr(self.inner, verb)(call)
        if self.after is not None:
            self.after(verb, call)
        return answer if self.replace is None else self.replace(verb, answer)

    def chargeable(self, amount: Money) -> Money | NotChargeable:
        """Return the real gateway's result."""
        return self.inner.chargeable(amount)

    def open(self, call: Call) -> Answer:
        """Open."""
        return self._call("open", call)

    def authorize(self, call: Call) -> Answer:
        """Authorise."""
        return self._call("authorize", call)

    def capture(self, call: Call) -> Answer:
        """Capture."""
        return self._call("capture", call)

    def cancel(self, call: Call) -> Answer:
        """Cancel."""
        return self._call("cancel", call)

    def refund(self, call: Call) -> Answer:
        """Refund."""
        return self._call("refund", call)

    def retrieve(self, call: Call) -> Answer:
        """Retrieve."""
        return self._call("retrieve", call)

    def refund_amount(self, call: ChargeCall) -> RefundAnswer:
        """Refund a part."""
        return self._ask("refund_amount", call, self.inner.refund_amount)

    def find_refund(self, call: ChargeCall) -> FindRefundAnswer:
        """Look for a refund."""
        return self._ask("find_refund", call, self.inner.find_refund)

    def retrieve_charge(self, call: ChargeCall) -> ChargeRetrieval:
        """Retrieve a charge."""
        return self._ask("retrieve_charge", call, self.inner.retrieve_charge)

    def _ask(self, verb: str, call: ChargeCall, ask: Callable[[ChargeCall], Told]) -> Told:
        self.charge_calls.append((verb, call))
        if self.before_charge is not None:
            self.before_charge(verb, call)
        answer = ask(call)
        if self.after_charge is not None:
            self.after_charge(verb, call)
        return answer

    @property
    def call_seconds(self) -> float:
        """The real gateway's bound."""
        return self.inner.call_seconds

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> InboundWebhook:
        """Read."""
        return self.inner.read_webhook(body, headers)

    def list_held(self, since: datetime) -> Iterator[Held]:
        """List."""
        return self.inner.list_held(since)

    def close(self) -> None:
        """Close the real one."""
        self.inner.close()


@contextmanager
def sabotage(engine: Engine, table: str, when: str) -> Iterator[None]:
    """Make the database refuse writes to rows of this table for which a condition holds, such as `NEW.line = 1`."""
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'sabotaged'; END $$
        """)
        connection.exec_driver_sql(
            f"CREATE TRIGGER sabotage BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when})"
            " EXECUTE FUNCTION sabotage()"
        )
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP FUNCTION sabotage CASCADE")
