"""The figures at the end of the demo: counted in the database and in the bank's ledger, and checked."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from models.states import ACTIVE_SQL
from pipeline.audit import AuditReport
from scripts.demonstration.buyers import CURRENCY, EXPECTED, KETTLE, DemoOutcome
from scripts.demonstration.story import Cancellation, Kill
from scripts.demonstration.view import DemoVerdict, show_amount

OUTCOMES: Final = text(
    "SELECT state, failure_code, count(*) AS checkouts FROM checkouts GROUP BY 1, 2 ORDER BY 3 DESC, 2"
)
STOCK: Final = text("""
    SELECT v.sku, s.on_hand, s.reserved,
           (SELECT sum(quantity) FROM stock_movements
            WHERE variant_id = v.id AND kind IN ('receive', 'adjust')) AS received,
           (SELECT coalesce(sum(l.quantity), 0) FROM order_lines l JOIN orders o ON o.id = l.order_id
            WHERE l.variant_id = v.id AND o.state = 'placed') AS sold,
           (SELECT coalesce(sum(quantity), 0) FROM stock_movements
            WHERE variant_id = v.id AND kind = 'restock') AS restocked
    FROM variants v JOIN stock_levels s ON s.variant_id = v.id ORDER BY v.id
""")
MONEY: Final = text("""
    SELECT (SELECT coalesce(sum(captured_minor - refunded_minor), 0) FROM sandbox.payments) AS held_minor,
           (SELECT coalesce(sum(authorized_minor), 0) FROM sandbox.payments
            WHERE status = 'authorized') AS pending_minor,
           (SELECT coalesce(sum(refunded_minor), 0) FROM sandbox.payments) AS refunded_minor,
           (SELECT coalesce(sum(total_minor), 0) FROM orders WHERE state = 'placed') AS orders_minor,
           (SELECT count(*) FROM orders WHERE state = 'placed') AS orders
""")
LOCKS: Final = text(f"""
    SELECT (SELECT count(*) FROM checkouts WHERE state IN ({ACTIVE_SQL})) AS carts,
           (SELECT count(*) FROM reservations WHERE state = 'held') AS reservations
""")
REFUSED: Final = text("SELECT count(*) FROM rejected_messages")


@dataclass(frozen=True, slots=True)
class DemoStock:
    """The stock of one variant at the end. `sold` is without the units that came back."""

    sku: str
    received: int
    sold: int
    left: int
    held: int
    restocked: int = 0


@dataclass(frozen=True, slots=True)
class DemoFigures:
    """Everything that is counted."""

    outcome: DemoOutcome
    other_states: dict[str, int]
    stock: tuple[DemoStock, ...]
    held_minor: int
    pending_minor: int
    orders: int
    locked_carts: int
    held_reservations: int
    rejected_messages: int


def read_figures(database: Engine) -> DemoFigures:
    """Count on one snapshot."""
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        return _count(connection)


def _count(connection: Connection) -> DemoFigures:
    states: dict[str, int] = {}
    failed: dict[str, int] = {}
    for row in connection.execute(OUTCOMES):
        states[row.state] = states.get(row.state, 0) + row.checkouts
        if row.state == "failed":
            failed[row.failure_code] = row.checkouts
    money = connection.execute(MONEY).one()
    locks = connection.execute(LOCKS).one()
    stock = tuple(
        DemoStock(
            row.sku, int(row.received), int(row.sold - row.restocked), row.on_hand, row.reserved, int(row.restocked)
        )
        for row in connection.execute(STOCK)
    )
    return DemoFigures(
        outcome=DemoOutcome(
            checkouts=sum(states.values()),
            completed=states.pop("completed", 0),
            failed=failed,
            cancelled=states.pop("cancelled", 0),
            expired=states.pop("expired", 0),
            orders_minor=int(money.orders_minor),
            refunded_minor=int(money.refunded_minor),
            restocked=sum(each.restocked for each in stock),
        ),
        other_states={state: count for state, count in states.items() if state != "failed"},
        stock=stock,
        held_minor=int(money.held_minor),
        pending_minor=int(money.pending_minor),
        orders=money.orders,
        locked_carts=locks.carts,
        held_reservations=locks.reservations,
        rejected_messages=connection.execute(REFUSED).scalar_one(),
    )


def check_figures(
    figures: DemoFigures, report: AuditReport, cancellation: Cancellation, kill: Kill
) -> list[DemoVerdict]:
    """Return each line of the table with its verdict: each count must match the buyers' stories."""
    found = figures.outcome
    conserved = all(each.received == each.sold + each.left and each.held == 0 for each in figures.stock)
    received, sold = sum(each.received for each in figures.stock), sum(each.sold for each in figures.stock)
    kettles = next(each for each in figures.stock if each.sku == KETTLE.sku)
    codes = ", ".join(f"{code} {count}" for code, count in found.failed.items())
    return [
        DemoVerdict(
            "checkouts", str(found.checkouts), found.checkouts == EXPECTED.checkouts and not figures.other_states
        ),
        DemoVerdict("completed", str(found.completed), found.completed == EXPECTED.completed),
        DemoVerdict("failed", f"{sum(found.failed.values())}: {codes}", found.failed == EXPECTED.failed),
        DemoVerdict("cancelled", str(found.cancelled), found.cancelled == EXPECTED.cancelled),
        DemoVerdict("expired", str(found.expired), found.expired == EXPECTED.expired),
        DemoVerdict(
            "kettles",
            f"{kettles.sold} of {kettles.received} sold, {kettles.left} left",
            kettles.sold == kettles.received == KETTLE.units and kettles.left == 0,
        ),
        DemoVerdict(
            "stock conserved",
            f"{received} units = {sold} sold + {sum(each.left for each in figures.stock)} left;"
            f" {sum(each.held for each in figures.stock)} held",
            conserved,
        ),
        DemoVerdict(
            "money = orders",
            f"{show_amount(figures.held_minor)} kept = {show_amount(found.orders_minor)}"
            f" in {figures.orders} orders - {show_amount(found.refunded_minor)}",
            figures.held_minor == found.orders_minor - found.refunded_minor
            and found.orders_minor == EXPECTED.orders_minor
            and figures.pending_minor == 0
            and figures.orders == found.completed,
        ),
        DemoVerdict(
            "one of two cups",
            f"came back: {show_amount(found.refunded_minor)} returned, {found.restocked} unit restocked",
            (found.refunded_minor, found.restocked) == (EXPECTED.refunded_minor, EXPECTED.restocked),
        ),
        DemoVerdict(
            "killed worker",
            f"{kill.killed} killed in mid-payment, {kill.restarts} restarted, {kill.charges} charge",
            kill.killed == 1 and kill.in_flight and kill.restarts >= 1 and kill.authorizations == kill.charges == 1,
        ),
        DemoVerdict(
            "locks left",
            f"{figures.locked_carts + figures.held_reservations}",
            figures.locked_carts == figures.held_reservations == 0
            and cancellation.cart_was_locked
            and cancellation.cart_is_open,
        ),
        DemoVerdict(
            "audit",
            f"{len(report.violations)} of {len(report.checked)} invariants violated"
            if report.violations
            else f"clean, {len(report.checked)} invariants checked",
            not (report.violations or report.skipped or report.needs_review or figures.rejected_messages),
        ),
    ]


def describe(figures: DemoFigures, report: AuditReport, cancellation: Cancellation, kill: Kill) -> dict[str, Any]:
    """Return everything as one JSON object."""
    found = figures.outcome
    return {
        "checkouts": found.checkouts,
        "completed": found.completed,
        "failed": found.failed,
        "cancelled": found.cancelled,
        "expired": found.expired,
        "stock": {
            each.sku: {"received": each.received, "sold": each.sold, "left": each.left, "held": each.held}
            for each in figures.stock
        },
        "money": {
            "currency": CURRENCY,
            "held_minor": figures.held_minor,
            "orders_minor": found.orders_minor,
            "refunded_minor": found.refunded_minor,
            "orders": figures.orders,
        },
        "restocked": found.restocked,
        "cart_was_locked": cancellation.cart_was_locked,
        "killed": {
            "worker": kill.worker,
            "processes": kill.killed,
            "in_flight": kill.in_flight,
            "restarts": kill.restarts,
            "authorizations": kill.authorizations,
            "charges": kill.charges,
        },
        "locks_left": figures.locked_carts + figures.held_reservations,
        "audit": {
            "invariants": len(report.checked),
            "violations": {each.invariant: each.count for each in report.violations},
        },
    }
