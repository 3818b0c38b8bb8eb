"""Where payments are put to the proof: an engine, its bank, a spy between them, the bank's mail, and sudden deaths."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine, text

from models.states import CheckoutState
from pipeline.audit import audit
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.invariants import DISAGREEMENTS, BankTotals
from pipeline.settings import Settings
from tests.support.failpoints import SimulatedCrash
from tests.support.harness import Shelf, Works
from tests.support.mail import Mail
from tests.support.workbench import NOTHING, PATIENCE_SECONDS, RESTING, Spy, read_bank

#: What every checkout here costs: two cups of the five that there are.
PRICE: Final = 350
TOTAL: Final = 2 * PRICE
PAID: Final = BankTotals(0, TOTAL, 0)
HELD: Final = BankTotals(TOTAL, 0, 0)
RETURNED: Final = BankTotals(0, TOTAL, TOTAL)
STOCK: Final = 5


class Stage:
    """One engine and one bank. The engine may die and begin anew; the bank and the database do not."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Put it together, with five cups on the shelf."""
        self.engine, self.settings = engine, settings
        self.deaths = 0
        self.shelf = Shelf(engine)
        self.shelf.add_variant("cup", stock=STOCK, price_minor=PRICE)
        self.bank = SandboxGateway(settings)
        self.spy = Spy(self.bank)
        self.works = Works(engine, settings, self.spy)
        self.mail = Mail(self.works, self.bank, self.spy)

    def close(self) -> None:
        """Close connections and end threads."""
        self.works.close()

    def start(self, token: str | None = None) -> UUID:
        """Start a checkout of two cups; with a token, straight through."""
        return self.works.start(self.shelf.add_cart(("cup", 2)), token=token)

    def restart(self) -> None:
        """Replace the engine as after a crash: messages are lost, and so are answers in flight."""
        self.deaths += 1
        self.works.executor.close()
        self.works = self.mail.works = Works(self.engine, self.settings, self.spy)

    def run_leases_out(self) -> None:
        """End the leases of crashed engines."""
        self.shelf.run("UPDATE payment_operations SET leased_until = now() WHERE leased_until IS NOT NULL")
        self.shelf.run("UPDATE checkouts SET due_at = now() WHERE due_reason = 'scheduled'")

    def pump(self, *, until: str | None = None) -> None:
        """Work until nothing is queued, or until the process crashes; then another has begun."""
        try:
            self.works.pump(until=until)
        except SimulatedCrash:
            self.restart()

    def settle(self, checkout_id: UUID, *, until: frozenset[CheckoutState] = RESTING) -> str:
        """Sweep and pump, within bounds, until the checkout is in one of these states; return its state."""
        return self.wait(checkout_id, lambda: self.works.status(checkout_id).state in until)

    def wait(self, checkout_id: UUID, is_so: Callable[[], bool]) -> str:
        """Sweep and pump until it is so, within bounds; return the checkout's state."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while not is_so() and time.monotonic() < ends_at:
            self.works.sweep()
            self.pump()
            time.sleep(0.02)
        return self.works.status(checkout_id).state.value

    def reference(self, checkout_id: UUID) -> str:
        """Return the provider's object of a checkout."""
        return str(self.shelf.row("SELECT reference FROM payments WHERE checkout_id = :id", id=checkout_id).reference)

    def totals(self, checkout_id: UUID) -> BankTotals:
        """Return what the bank has of a checkout."""
        return read_bank(self.engine, checkout_id)

    def entries(self) -> list[tuple[str, int]]:
        """Return the bank's ledger."""
        return [
            (kind, amount)
            for kind, amount in self.shelf.rows("SELECT kind, amount_minor FROM sandbox.entries ORDER BY id")
        ]

    def operations(self, checkout_id: UUID) -> list[tuple[str, int, str]]:
        """Return the stored operations: the calls to the bank."""
        sql = "SELECT kind, n, status FROM payment_operations WHERE checkout_id = :id ORDER BY id"
        return [(kind, n, status) for kind, n, status in self.shelf.rows(sql, id=checkout_id)]

    def orders(self) -> list[str]:
        """Return the states of all orders."""
        return [state for (state,) in self.shelf.rows("SELECT state FROM orders ORDER BY id")]

    def events(self, checkout_id: UUID) -> list[str]:
        """Return what happened to a checkout."""
        sql = "SELECT kind FROM events WHERE checkout_id = :id ORDER BY id"
        return [kind for (kind,) in self.shelf.rows(sql, id=checkout_id)]

    def assert_books(self) -> None:
        """Assert that the bank's ledger agrees with its objects, and the invariants with both."""
        with self.engine.connect() as connection:
            assert connection.execute(text(DISAGREEMENTS)).all() == []
            connection.rollback()
            assert audit(connection, self.settings) == []


@contextmanager
def open_stage(engine: Engine, settings: Settings, **others: Any) -> Iterator[Stage]:
    """Yield a stage with these settings. The engine and the bank must agree at its end."""
    stage = Stage(engine, settings.model_copy(update=others))
    try:
        yield stage
        stage.assert_books()
    finally:
        stage.close()


def expect_nothing(stage: Stage, checkout_id: UUID) -> None:
    """Assert that nothing came of a checkout: no money, no order, no stock."""
    assert stage.totals(checkout_id) == NOTHING
    assert set(stage.orders()) <= {"cancelled"}
    assert stage.shelf.stock("cup") == (STOCK, 0)
