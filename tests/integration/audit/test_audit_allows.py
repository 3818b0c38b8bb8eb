"""What the audit does not object to, and how it reads."""

from typing import Any, Final
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, event, text

from pipeline.audit import audit, take_report
from pipeline.audit.report import check, list_invariants
from pipeline.checkouts.conditions import bound_seconds
from pipeline.database.ids import ALL_IDS, IdRange
from pipeline.settings import Settings
from tests.integration.audit.change_plants import CANCELLED, LIFE
from tests.integration.audit.plants import broken, cart_id, checkout_id, empty_order

COMPLETED: Final = UUID("00000000-0000-7000-8000-000000000001")
FAILED: Final = UUID("00000000-0000-7000-8000-000000000002")
RUNNING: Final = UUID("00000000-0000-7000-8000-000000000003")


def test_backorders_and_free_orders_are_fine(connection: Connection, settings: Settings) -> None:
    # given a level sold beyond what is there, and a completed order of nothing without a payment
    connection.exec_driver_sql(
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity) VALUES (1, 1, 'adjust', -8);"
        "UPDATE stock_levels SET on_hand = 0, backorderable = true;"
        "INSERT INTO carts (id, currency, state) VALUES ('00000000-0000-7000-8000-0000000000c4', 'EUR', 'completed');"
        "INSERT INTO checkouts (id, cart_id, owner, currency, state, phase, straight_through, expires_at, ended_at)"
        f" VALUES ({checkout_id(4)}, {cart_id(4)}, 'shop', 'EUR', 'completed', 7, true, now(), now());"
        f"INSERT INTO events (checkout_id, kind, owner) VALUES ({checkout_id(4)}, 'checkout.completed', 'shop');"
        + empty_order("placed", "1002", checkout=4, cart=4)
    )
    assert broken(check(connection, settings)) == {}


def test_a_cart_bought_at_the_second_attempt_is_fine(connection: Connection, settings: Settings) -> None:
    connection.exec_driver_sql(
        f"UPDATE checkouts SET cart_id = {cart_id(1)} WHERE id = {checkout_id(2)};"
        f"UPDATE orders SET cart_id = {cart_id(1)}"
    )
    assert broken(check(connection, settings)) == {}


def test_an_overdue_checkout_whose_message_waits_is_fine(connection: Connection, settings: Settings) -> None:
    connection.exec_driver_sql("UPDATE checkouts SET due_at = now() - interval '1 hour' WHERE state = 'running'")
    assert broken(check(connection, settings, queued={RUNNING})) == {}
    assert broken(check(connection, settings, queued={COMPLETED, FAILED})) == {"nothing_is_overdue": 1}


def test_a_checkout_is_overdue_only_beyond_the_bound(connection: Connection, settings: Settings) -> None:
    bound = bound_seconds(settings)
    late = "UPDATE checkouts SET due_at = now() - make_interval(secs => {}) WHERE state = 'running'"
    connection.exec_driver_sql(late.format(bound))
    assert broken(check(connection, settings)) == {}
    connection.exec_driver_sql(late.format(bound + 0.001))
    assert broken(check(connection, settings)) == {"nothing_is_overdue": 1}


def test_needs_review_is_a_figure_and_not_a_violation(connection: Connection, settings: Settings) -> None:
    connection.exec_driver_sql(
        "UPDATE checkouts SET state = 'needs_review', review = '{}', due_at = NULL, due_reason = NULL"
        " WHERE state = 'running'"
    )
    report = check(connection, settings)
    assert report.violations == ()
    assert report.needs_review == 1


def test_the_bank_is_ahead_of_an_active_checkout(connection: Connection, settings: Settings) -> None:
    # given a captured payment at the bank whose answer is not stored yet
    connection.exec_driver_sql(
        f"INSERT INTO payments (checkout_id, gateway, token) VALUES ({checkout_id(3)}, 'sandbox', 'tok_ok');"
        "INSERT INTO sandbox.payments (reference, checkout_id, currency, amount_minor, status, authorized_minor,"
        f" captured_minor, refunded_minor) VALUES ('pay_3', {checkout_id(3)}, 'EUR', 250, 'captured', 250, 250, 0);"
        "INSERT INTO sandbox.entries (reference, kind, amount_minor)"
        " VALUES ('pay_3', 'authorize', 250), ('pay_3', 'capture', 250)"
    )
    assert broken(check(connection, settings)) == {}


def test_the_tables_of_a_bank_elsewhere_are_skipped(connection: Connection, settings: Settings) -> None:
    connection.exec_driver_sql("DELETE FROM sandbox.payments; DELETE FROM sandbox.entries")
    elsewhere = settings.with_gateway_options(database_url=SecretStr("postgresql:///bank"))
    report = check(connection, elsewhere)
    assert broken(report) == {}
    assert {invariant.name for invariant in report.skipped} == {
        "bank_charge_is_order_total",
        "bank_holds_no_authorization",
        "bank_charged_once",
        "bank_ledger_agrees",
        "bank_has_no_orphaned_payments",
    }


def test_another_gateway_is_not_compared_with_the_sandbox(connection: Connection, settings: Settings) -> None:
    connection.exec_driver_sql(
        "UPDATE payments SET gateway = 'stripe'; DELETE FROM sandbox.payments; DELETE FROM sandbox.entries"
    )
    assert broken(check(connection, settings)) == {}


def test_one_audit_sees_one_moment(consistent: Engine, settings: Settings) -> None:
    # given rows that another transaction breaks, committed, while the audit is at its first invariant
    statements: list[str] = []

    def break_books(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)
        if len(statements) == 1:
            with consistent.begin() as other:
                other.exec_driver_sql("UPDATE stock_levels SET on_hand = on_hand + 1")

    with consistent.connect() as connection:
        # when
        event.listen(connection, "after_cursor_execute", break_books)
        during = take_report(connection, settings)
        event.remove(connection, "after_cursor_execute", break_books)
        # then
        assert broken(during) == {}
        # One each, and one for the count of reviews.
        assert len(statements) == len(list_invariants()) + 1
        assert broken(take_report(connection, settings)) == {"stock_is_ledger": 1}


def test_the_audit_cannot_write_and_leaves_the_connection_as_it_was(consistent: Engine, settings: Settings) -> None:
    seen: list[tuple[str, str]] = []

    def look(connection: Connection, *_rest: Any) -> None:
        raw = connection.connection.cursor()
        raw.execute("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
        seen.append(raw.fetchone() or ("", ""))

    with consistent.connect() as connection:
        event.listen(connection, "before_cursor_execute", look)
        audit(connection, settings)
        event.remove(connection, "before_cursor_execute", look)
        assert set(seen) == {("repeatable read", "on")}
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"
        connection.execute(text("UPDATE stock_levels SET on_hand = 8"))
        connection.commit()


@pytest.mark.parametrize("life", [LIFE, CANCELLED], ids=["changed", "cancelled"])
@pytest.mark.parametrize("ids", [None, ALL_IDS], ids=["all", "range"])
def test_the_life_of_an_order_is_fine(
    connection: Connection, settings: Settings, life: str, ids: IdRange | None
) -> None:
    connection.exec_driver_sql(life)
    assert broken(check(connection, settings, ids=ids)) == {}
