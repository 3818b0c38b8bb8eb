"""What happens to orders while everything breaks: refunds, cancels, restocks, fulfillments, and the bank's own side.

Each placed order has its plan, from the seed and the buyer's number. The history has what every request was answered
with; at the end it is compared with the database and the bank (scripts/faults/order_verification.py).
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError

from pipeline.gateways.sandbox.bank import SandboxGateway
from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ending
from scripts.faults.care import Care, choose_care
from scripts.faults.patient_client import PATIENCE_SECONDS, PatientClient
from scripts.faults.place import Place

T = TypeVar("T")

#: Concurrent requests: the buyers share the one web process.
THREADS: Final = 8
POLL_SECONDS: Final = 0.3
#: How long a dispute stays open: longer than its webhook takes, unless everything is down.
DISPUTE_SECONDS: Final = 2.0
#: A small amount, in minor units: less than the price of any unit.
SMALL_MINOR: Final = 500

# With the first line and its units.
PLACED: Final = text("""
    SELECT o.id, o.customer, o.total_minor, p.reference, l.line, l.quantity
    FROM orders o JOIN payments p ON p.checkout_id = o.checkout_id
    CROSS JOIN LATERAL (SELECT line, quantity FROM order_lines WHERE order_id = o.id ORDER BY line LIMIT 1) l
    WHERE o.number IS NOT NULL ORDER BY o.number
""")


@dataclass(frozen=True, slots=True)
class CaredOrder:
    """An order, its first line, and what is to happen to it. `dice` is a number below 1000, of the seed."""

    id: UUID
    customer: str
    reference: str
    line: int
    quantity: int
    care: Care
    dice: int

    def key(self, name: str) -> str:
        """Return an idempotency key for one request about it."""
        return f"{self.customer}-{name}"

    def units(self, quantity: int) -> list[dict[str, int]]:
        """Return units of its first line, as a request has them."""
        return [{"line": self.line, "quantity": quantity}]


@dataclass
class ChangeHistory:
    """What clients were answered about changes of orders.

    `accepted` has every change id that a key was ever answered with, `refused` the code of a request that made none.
    Of two requests in `races` one wins. `disputes` are closed.
    """

    accepted: dict[str, set[UUID]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    gave_up: list[str] = field(default_factory=list)
    races: list[tuple[str, str]] = field(default_factory=list)
    dashboard_refunds: list[str] = field(default_factory=list)
    disputes: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class AfterSales(threading.Thread):
    """Takes orders as they are placed, and asks for their changes, until finished or stopped."""

    def __init__(self, place: Place, seed: int) -> None:
        """Begin with no order."""
        super().__init__(name="after-sales", daemon=True)
        self.history = ChangeHistory()
        self.errors: list[BaseException] = []
        self._place, self._seed = place, seed
        self._seen: set[UUID] = set()
        self._finishing, self._stopped = threading.Event(), threading.Event()
        self._client = PatientClient(place, self._stopped)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="after-sales")
        # Two at once of one order, beside the threads that wait for them.
        self._twins = ThreadPoolExecutor(2 * THREADS, thread_name_prefix="after-sales-twin")
        self._bank = SandboxGateway(place.settings)

    def run(self) -> None:
        """Take new orders until finished; return when each request has its answer. An error fails the run."""
        try:
            self._take_all()
        except Exception as error:  # noqa: BLE001 (raised at the end)
            self.errors.append(error)

    def _take_all(self) -> None:
        waiting: list[Future[None]] = []
        while not self._stopped.is_set():
            is_last = self._finishing.is_set()
            try:
                waiting += [self._threads.submit(self._act, order) for order in self._take()]
            except DBAPIError:
                is_last = False  # the database is down: what is placed is read again
            if is_last:
                break
            self._finishing.wait(POLL_SECONDS)
        for each in waiting:
            each.cancel() if self._stopped.is_set() else each.result()

    def finish(self, ending: Ending, seconds: float) -> None:
        """Take the orders that are placed by now, and wait for all answers; CommandError when it takes longer."""
        self._finishing.set()
        ends_at = time.monotonic() + seconds
        while self.is_alive() and time.monotonic() < ends_at:
            ending.sleep(POLL_SECONDS)
        if self.is_alive():
            raise CommandError(f"Not every change of an order was answered within {seconds:.0f} s: look at fleet.log.")

    def stop(self) -> None:
        """Ask for nothing more, and close the connections. Idempotent."""
        self._stopped.set()
        self._finishing.set()
        if self.is_alive():
            self.join(60)
        self._threads.shutdown(cancel_futures=True)
        self._twins.shutdown(cancel_futures=True)
        self._bank.close()

    def _take(self) -> list[CaredOrder]:
        with self._place.database.connect() as connection:
            new = [row for row in connection.execute(PLACED) if row.id not in self._seen]
        self._seen |= {row.id for row in new}
        return [order for order in (self._plan(row) for row in new) if order.care is not Care.NOTHING]

    def _plan(self, row: Row[Any]) -> CaredOrder:
        care, dice = choose_care(self._seed, row.customer)
        return CaredOrder(row.id, row.customer, row.reference, row.line, row.quantity, care, dice)

    def _act(self, order: CaredOrder) -> None:
        try:
            ACTS[order.care](self, order)
        except Exception as error:  # noqa: BLE001 (raised at the end, and fails the run)
            self.errors.append(error)

    def refund_line(self, order: CaredOrder) -> None:
        """Refund one unit; every third request is sent twice at once with the same key."""
        body = {"lines": order.units(1)}
        if order.dice % 3:
            self._ask(order, "refunds", "line", body)
        else:
            self._ask_both((order, "refunds", "line", body), (order, "refunds", "line", body))

    def refund_amount(self, order: CaredOrder) -> None:
        """Refund a small amount, and another one."""
        for name in ("amount-1", "amount-2"):
            self._ask(order, "refunds", name, {"amount_minor": 1 + order.dice % SMALL_MINOR})

    def cancel(self, order: CaredOrder) -> None:
        """Cancel, in every second case after a small refund and without waiting for it; then refund: too late."""
        if order.dice % 2:
            self._ask(order, "refunds", "before", {"amount_minor": 1 + order.dice % SMALL_MINOR})
        self._ask(order, "cancel", "cancel", {"restock": order.dice % 4 != 0})
        self._ask(order, "refunds", "after", {"amount_minor": 1})

    def restock(self, order: CaredOrder) -> None:
        """Restock one unit."""
        self._ask(order, "restocks", "restock", {"lines": order.units(1)})

    def fulfill(self, order: CaredOrder) -> None:
        """Send all units; a cancel is refused from then on."""
        self._ask(order, "fulfillments", "sent", {"lines": order.units(order.quantity), "carrier": "Post"})
        self._ask(order, "cancel", "cancel", {})

    def take_back(self, order: CaredOrder) -> None:
        """Send all units, refund and restock one."""
        self._ask(order, "fulfillments", "sent", {"lines": order.units(order.quantity)})
        self._ask(order, "refunds", "line", {"lines": order.units(1)})
        self._ask(order, "restocks", "restock", {"lines": order.units(1)})

    def race_for_units(self, order: CaredOrder) -> None:
        """Two restock all units of a line at once."""
        self._race(order, "restocks", {"lines": order.units(order.quantity)})

    def race_for_money(self, order: CaredOrder) -> None:
        """Two refund all that is left at once."""
        self._race(order, "refunds", {"all": True})

    def refund_at_bank(self, order: CaredOrder) -> None:
        """Refund a small amount in the dashboard, then one over HTTP."""
        minor = 1 + order.dice % SMALL_MINOR
        made = self._do_at_bank(lambda: self._bank.dashboard.refund(order.reference, minor))
        if made is not None:
            with self.history.lock:
                self.history.dashboard_refunds.append(made)
        self._ask(order, "refunds", "amount", {"amount_minor": 1 + order.dice % SMALL_MINOR})

    def dispute(self, order: CaredOrder) -> None:
        """Dispute a small amount, ask for all that is left, and decide it, every second one against the shop."""
        opened = self._do_at_bank(lambda: self._bank.dashboard.open_dispute(order.reference, SMALL_MINOR))
        if opened is None:
            return
        self._stopped.wait(DISPUTE_SECONDS)
        self._ask(order, "refunds", "disputed", {"all": True})
        is_won = bool(order.dice % 2)
        if self._do_at_bank(lambda: self._bank.dashboard.close_dispute(opened, won=is_won)) is not None:
            with self.history.lock:
                self.history.disputes[opened] = "won" if is_won else "lost"

    def _race(self, order: CaredOrder, path: str, body: Mapping[str, Any]) -> None:
        self._ask_both((order, path, "first", body), (order, path, "second", body))
        with self.history.lock:
            self.history.races.append((order.key("first"), order.key("second")))

    def _ask_both(self, *asked: tuple[CaredOrder, str, str, Mapping[str, Any]]) -> None:
        for each in [self._twins.submit(self._ask, *given) for given in asked]:
            each.result()

    def _ask(self, order: CaredOrder, path: str, name: str, body: Mapping[str, Any]) -> None:
        """Ask for a change with its key until the answer is definite, and note it."""
        key = order.key(name)
        headers = {"Idempotency-Key": key} | ({"Prefer": "wait=5"} if order.dice % 5 == 0 else {})
        response = self._client.request("POST", f"/orders/{order.id}/{path}", json=dict(body), headers=headers)
        with self.history.lock:
            if response is None:
                self.history.gave_up.append(key)
                return
            found = response.json()
            # A change that was recorded and failed is answered with its code, and its id among the facts.
            change_id = found.get("id") if response.ok else found.get("facts", {}).get("change_id")
            if change_id is None:
                self.history.refused[key] = str(found.get("code"))
            else:
                self.history.accepted.setdefault(key, set()).add(UUID(change_id))

    def _do_at_bank(self, act: Callable[[], T]) -> T | None:
        """Act at the bank until its database answers. One that answered too late may have acted twice: both count."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends_at and not self._stopped.is_set():
            try:
                return act()
            except DBAPIError:
                time.sleep(0.2)
        return None


ACTS: Final[Mapping[Care, Callable[[AfterSales, CaredOrder], None]]] = {
    Care.LINE: AfterSales.refund_line,
    Care.AMOUNT: AfterSales.refund_amount,
    Care.CANCEL: AfterSales.cancel,
    Care.RESTOCK: AfterSales.restock,
    Care.FULFILLMENT: AfterSales.fulfill,
    Care.RETURN: AfterSales.take_back,
    Care.RACE_FOR_UNITS: AfterSales.race_for_units,
    Care.RACE_FOR_MONEY: AfterSales.race_for_money,
    Care.DASHBOARD: AfterSales.refund_at_bank,
    Care.DISPUTE: AfterSales.dispute,
}
