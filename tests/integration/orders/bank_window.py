"""What people do at the bank after an order, and the bank's webhooks about it."""

from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from pipeline.audit import audit
from pipeline.gateways.sandbox.charges.dashboard import Dashboard
from pipeline.settings import Settings
from tests.integration.orders.counter import Counter
from tests.integration.reconciliation.counter import compare

#: A change as a test sees it: kind, state, amount, actor.
Seen = tuple[str, str, int | None, str]


class BankWindow(Counter):
    """A counter with the bank's dashboard, whose webhooks come when a test says so."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Open both."""
        super().__init__(engine, settings)
        self.dashboard = Dashboard(engine)
        self._last = 0

    def payment(self, order_id: UUID) -> str:
        """Return the bank's object of an order."""
        sql = "SELECT p.reference FROM payments p JOIN orders o USING (checkout_id) WHERE o.id = :id"
        return str(self.shelf.row(sql, id=order_id).reference)

    def checkout(self, order_id: UUID) -> UUID:
        """Return the checkout of an order."""
        found: UUID = self.shelf.row("SELECT checkout_id FROM orders WHERE id = :id", id=order_id).checkout_id
        return found

    def mail(self, *, times: int = 1, pump: bool = True) -> None:
        """Deliver the bank's webhooks since the last call, each so many times, newest first."""
        events = self.bank.events(self._last)
        self._last = max((each.id for each in events), default=self._last)
        for each in sorted(events, key=lambda each: -each.id) * times:
            self.works.service.receive_webhook("sandbox", each.body, each.headers)
        if pump:
            self.works.pump()

    def seen(self, order_id: UUID) -> list[Seen]:
        """Return the changes of an order, oldest first."""
        sql = "SELECT kind, state, amount_minor, actor FROM order_changes WHERE order_id = :id ORDER BY created_at, id"
        return [(kind, state, minor, actor) for kind, state, minor, actor in self.shelf.rows(sql, id=order_id)]

    def left(self, order_id: UUID) -> int:
        """Return what can still be refunded."""
        from pipeline.orders import load_books

        with self.engine.connect() as connection:
            return load_books(connection, [order_id])[order_id].refundable_minor

    def find(self) -> list[tuple[str, str | None]]:
        """Return the findings of a reconciliation: kind and reference."""
        return [(each.kind.value, each.reference) for each in compare(self.works).findings]

    def assert_clean(self) -> None:
        """Assert that neither audit finds anything."""
        with self.engine.connect() as connection:
            assert audit(connection, self.works.settings) == []
        assert self.find() == []

    def reads(self) -> int:
        """Return how often a charge was read by the engine."""
        return sum(verb == "retrieve_charge" for verb, _ in self.spy.charge_calls)

    def data(self, kind: str) -> list[dict[str, Any]]:
        """Return the facts of all events of a kind, oldest first."""
        return [
            data for (data,) in self.shelf.rows("SELECT data FROM events WHERE kind = :kind ORDER BY id", kind=kind)
        ]
