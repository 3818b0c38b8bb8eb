"""Random lives of random orders in five currencies: refunds, cancels, restocks, the bank's dashboard and disputes.

Whatever comes in whatever order: sums are exact, nothing beyond what was captured or sold, and both audits are clean.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from pipeline.errors import Conflict
from pipeline.gateways.charges import ChargeCall
from pipeline.orders.requests import ChangeRequest, LineUnits, RefundRequest
from pipeline.settings import Settings
from tests.integration.orders.bank_window import BankWindow
from tests.integration.orders.counter import cancel, fulfill, refund, restock

CURRENCIES: Final = ("EUR", "USD", "GBP", "JPY", "BHD")

OF_PAYMENT: Final = "SELECT reference FROM sandbox.{} WHERE payment = :r"
CAPTURED: Final = "SELECT captured_minor AS n FROM sandbox.payments"

UNITS: Final = st.tuples(st.integers(1, 3), st.integers(1, 4))
STEPS: Final = st.one_of(
    st.tuples(st.just("lines"), UNITS),
    st.tuples(st.just("amount"), st.integers(1, 4000)),
    st.tuples(st.just("delivery"), st.integers(1, 700)),
    st.tuples(st.just("all"), st.none()),
    st.tuples(st.just("cancel"), st.booleans()),
    st.tuples(st.just("restock"), UNITS),
    st.tuples(st.just("fulfill"), UNITS),
    st.tuples(st.just("dashboard"), st.integers(1, 4000)),
    st.tuples(st.just("fail"), st.none()),
    st.tuples(st.just("dispute"), st.integers(1, 4000)),
    st.tuples(st.just("decide"), st.booleans()),
    st.tuples(st.just("mail"), st.none()),
    st.tuples(st.just("lose"), st.booleans()),
)


@pytest.fixture
def window(engine: Engine, settings: Settings) -> Iterator[BankWindow]:
    """A shop that sells in five currencies, with taxes and a coupon, and its bank's dashboard."""
    opened = BankWindow(engine, settings)
    for number, price in enumerate((333, 61, 1999), start=1):
        opened.shelf.add_variant(f"good-{number}", stock=100_000, price_minor=price)
    for currency in CURRENCIES[1:]:
        opened.shelf.add_rate("EUR", currency, "1.7", observed_at=datetime.now(UTC))
    opened.shelf.add_tax("0.19")
    opened.shelf.add_coupon("TEN")
    yield opened
    opened.close()


def request_of(kind: str, value: Any) -> ChangeRequest:
    """Return the request of a step."""
    match kind:
        case "lines":
            return RefundRequest(lines=(LineUnits(line=value[0], quantity=value[1]),))
        case "amount":
            return refund(amount_minor=value)
        case "delivery":
            return RefundRequest(delivery_minor=value)
        case "all":
            return refund(all=True)
        case "cancel":
            return cancel(restock=value)
        case "restock":
            return restock(value)
        case _:
            return fulfill(value)


def lose_next_answer(window: BankWindow, *, after: bool) -> None:
    """Break the connection of the next call about a refund, before it is made or after it had its effect."""

    def break_connection(verb: str, _call: ChargeCall) -> None:
        if verb == "refund_amount":
            window.spy.before_charge = window.spy.after_charge = None
            raise ConnectionError("reset by peer")

    window.spy.before_charge, window.spy.after_charge = (None, break_connection) if after else (break_connection, None)


def take(window: BankWindow, reference: str, order_id: Any, kind: str, value: Any) -> None:
    """Take one step; what is refused, by the engine or at the bank's dashboard, changes nothing."""
    match kind:
        case "dashboard":
            left = window.shelf.row(
                "SELECT captured_minor - refunded_minor AS n FROM sandbox.payments WHERE reference = :r", r=reference
            ).n
            if left:
                window.dashboard.refund(reference, min(value, left))
        case "fail":
            found = window.shelf.rows(f"{OF_PAYMENT.format('refunds')} AND state <> 'failed'", r=reference)
            if found:
                window.dashboard.fail_refund(found[-1][0])
        case "dispute":
            captured = window.shelf.row(
                "SELECT captured_minor AS n FROM sandbox.payments WHERE reference = :r", r=reference
            )
            window.dashboard.open_dispute(reference, min(value, captured.n))
        case "decide":
            found = window.shelf.rows(f"{OF_PAYMENT.format('disputes')} AND state = 'open'", r=reference)
            if found:
                window.dashboard.close_dispute(found[0][0], won=value)
        case "lose":
            lose_next_answer(window, after=value)
        case "mail":
            window.mail()
        case _:
            try:
                window.ask(order_id, request_of(kind, value))
            except Conflict:
                return
            window.works.pump()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    currency=st.sampled_from(CURRENCIES),
    lines=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    shipping=st.integers(0, 700),
    coupon=st.booleans(),
    steps=st.lists(STEPS, min_size=3, max_size=14),
)
def test_any_life_adds_up(
    window: BankWindow, currency: str, lines: list[int], shipping: int, *, coupon: bool, steps: list[tuple[str, Any]]
) -> None:
    # Given
    goods = [(f"good-{number}", quantity) for number, quantity in enumerate(lines, start=1)]
    codes = ["TEN"] if coupon else []
    order_id = window.place(*goods, currency=currency, shipping_minor=shipping, coupon_codes=codes)
    reference = window.payment(order_id)
    window.spy.before_charge = window.spy.after_charge = None
    # When
    for kind, value in steps:
        take(window, reference, order_id, kind, value)
    window.mail()
    window.settle(*(id_ for (id_,) in window.shelf.rows("SELECT id FROM order_changes WHERE kind <> 'dispute'")))
    window.shelf.run("UPDATE payments SET charge_due_at = now() WHERE charge_due_at IS NOT NULL")
    window.works.sweep()
    window.works.pump()
    # Then
    sums = window.shelf.row(
        """
        SELECT b.captured_minor, b.refunded_minor, o.total_minor,
               (SELECT coalesce(sum(amount_minor), 0) FROM refunds r
                WHERE r.checkout_id = o.checkout_id AND r.status = 'succeeded') AS stored_minor
        FROM orders o JOIN payments p USING (checkout_id) JOIN sandbox.payments b ON b.reference = p.reference
        WHERE o.id = :id
        """,
        id=order_id,
    )
    assert sums.captured_minor == sums.total_minor
    assert sums.refunded_minor == sums.stored_minor <= sums.captured_minor
    window.assert_clean()


def test_units_that_are_refunded_one_by_one_come_to_the_whole_line_in_any_currency(window: BankWindow) -> None:
    for currency in CURRENCIES:
        goods = (("good-1", 4), ("good-3", 3))
        order_id = window.place(*goods, currency=currency, coupon_codes=["TEN"], shipping_minor=250)
        for line, units in ((1, 4), (2, 3)):
            for _ in range(units):
                assert window.do(order_id, refund((line, 1))) == "done"
        totals = window.shelf.rows(
            "SELECT total_minor FROM order_lines WHERE order_id = :id ORDER BY line", id=order_id
        )
        refunded = window.shelf.rows(
            """SELECT sum(l.amount_minor) FROM order_change_lines l JOIN order_changes c ON c.id = l.change_id
               WHERE c.order_id = :id GROUP BY l.line ORDER BY l.line""",
            id=order_id,
        )
        assert [int(minor) for (minor,) in refunded] == [minor for (minor,) in totals]
        assert window.do(order_id, refund(all=True)) == "done"
        assert window.left(order_id) == 0
    window.assert_clean()
