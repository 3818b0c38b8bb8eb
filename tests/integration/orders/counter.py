"""The counter of a shop after the sale: orders that were placed, what is asked of them, and what came of it."""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine

from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.orders import ChangeResult
from pipeline.orders.requests import (
    CancelRequest,
    ChangeRequest,
    FulfillmentRequest,
    LineUnits,
    PlacedUnits,
    RefundRequest,
    RestockRequest,
)
from pipeline.settings import Settings
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import PATIENCE_SECONDS, Spy


class Counter:
    """One engine and one bank. The engine may die and begin anew; the bank and the database do not."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Put it together, with cups and pots on the shelf."""
        self.engine, self.settings = engine, settings
        self.shelf = Shelf(engine)
        self.shelf.add_variant("cup", stock=5, price_minor=250)
        self.shelf.add_variant("pot", stock=5, price_minor=250)
        self.bank = SandboxGateway(settings)
        self.spy = Spy(self.bank)
        self.works = Works(engine, settings, self.spy)

    def close(self) -> None:
        """Close connections and end threads."""
        self.works.close()

    def restart(self) -> None:
        """Replace the engine as after a crash: messages are lost, and so are answers in flight."""
        self.works.executor.close()
        self.works = Works(self.engine, self.settings, self.spy)

    def run_leases_out(self) -> None:
        """End the leases of engines that are gone, and the waits for them."""
        self.shelf.run("UPDATE refunds SET leased_until = now() WHERE leased_until IS NOT NULL")
        self.shelf.run("UPDATE order_changes SET due_at = now() WHERE due_at IS NOT NULL")

    def place(self, *lines: tuple[str, int], token: str = "tok_ok", **others: Any) -> UUID:
        """Sell these, three cups and a pot unless said otherwise; return the order."""
        cart_id = self.shelf.add_cart(*(lines or (("cup", 3), ("pot", 1))), **others)
        checkout_id = self.works.start(cart_id, token=token)
        self.works.pump()
        return self.order_of(checkout_id)

    def order_of(self, checkout_id: UUID) -> UUID:
        """Return the order of a checkout."""
        found: UUID = self.shelf.row("SELECT id FROM orders WHERE checkout_id = :id", id=checkout_id).id
        return found

    def ask(self, order_id: UUID, request: ChangeRequest, *, key: str | None = None) -> ChangeResult:
        """Ask for a change as the shop."""
        return self.works.orders.request(
            order_id, OWNER, request, actor="key:shop", idempotency_key=key or str(uuid4())
        )

    def settle(self, *change_ids: UUID) -> list[str]:
        """Sweep and pump until none of these changes is to do; return their states."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.works.pump()
            self.works.executor.finish()
            states = [self.state(each) for each in change_ids]
            if not {"requested", "running"} & set(states) or time.monotonic() > ends_at:
                return states
            time.sleep(0.02)
            self.works.sweep()

    def do(self, order_id: UUID, request: ChangeRequest) -> str:
        """Ask for a change and settle it; return its state."""
        return self.settle(self.ask(order_id, request).change_id)[0]

    def state(self, change_id: UUID) -> str:
        """Return the state of a change."""
        return str(self.shelf.row("SELECT state FROM order_changes WHERE id = :id", id=change_id).state)

    def order_state(self, order_id: UUID) -> str:
        """Return the state of an order."""
        return str(self.shelf.row("SELECT state FROM orders WHERE id = :id", id=order_id).state)

    def outcome(self, change_id: UUID) -> dict[str, Any]:
        """Return the facts of the end of a change."""
        found: dict[str, Any] = self.shelf.row("SELECT outcome FROM order_changes WHERE id = :id", id=change_id).outcome
        return found

    def refunds(self, change_id: UUID) -> list[tuple[int, str, int, str | None]]:
        """Return the stored refunds of a change: number, status, amount, code."""
        sql = "SELECT n, status, amount_minor, code FROM refunds WHERE change_id = :id ORDER BY n"
        return [(n, status, minor, code) for n, status, minor, code in self.shelf.rows(sql, id=change_id)]

    def repaid(self) -> list[int]:
        """Return what the bank has paid back, refund by refund."""
        sql = "SELECT amount_minor FROM sandbox.entries WHERE kind = 'refund' ORDER BY id"
        return [amount for (amount,) in self.shelf.rows(sql)]

    def events(self, order_id: UUID) -> list[str]:
        """Return what happened to an order since it was placed."""
        sql = """SELECT e.kind FROM events e JOIN orders o ON o.checkout_id = e.checkout_id
                 WHERE o.id = :id AND e.kind LIKE 'order.%' AND e.kind <> 'order.placed' ORDER BY e.id"""
        return [kind for (kind,) in self.shelf.rows(sql, id=order_id)]

    def told(self, kind: str) -> dict[str, Any]:
        """Return the facts of the one event of this kind."""
        found: dict[str, Any] = self.shelf.row("SELECT data FROM events WHERE kind = :kind", kind=kind).data
        return found


def refund(*lines: tuple[int, int], **others: Any) -> RefundRequest:
    """Refund these units of lines, or what the fields say."""
    return RefundRequest(lines=tuple(LineUnits(line=line, quantity=units) for line, units in lines), **others)


def restock(*lines: tuple[int, int] | tuple[int, int, str]) -> RestockRequest:
    """Restock these units."""
    return RestockRequest(lines=_place(lines))


def fulfill(*lines: tuple[int, int] | tuple[int, int, str], **others: Any) -> FulfillmentRequest:
    """Send these units."""
    return FulfillmentRequest(lines=_place(lines), **others)


def cancel(**others: Any) -> CancelRequest:
    """Cancel the order."""
    return CancelRequest(**others)


def _place(lines: Sequence[tuple[int, int] | tuple[int, int, str]]) -> tuple[PlacedUnits, ...]:
    return tuple(
        PlacedUnits(line=each[0], quantity=each[1], location=each[2] if len(each) > 2 else None) for each in lines
    )
