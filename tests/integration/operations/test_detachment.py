"""Months are detached whole or not at all, and the audit of all that remains is exact before and after."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from pipeline.catalog import set_stock
from pipeline.catalog.stock_rows import StockCount
from pipeline.errors.tree import CheckoutError
from pipeline.operations.detachment import detach, plan_detachments
from pipeline.operations.partitions import add_months, list_partitions
from pipeline.orders.requests import CancelRequest
from tests.integration.operations.months import APRIL, MARCH, MAY, Yard

ENDPOINT: Final = (
    "INSERT INTO webhook_endpoints (id, url, secret, kinds)"
    " VALUES (gen_random_uuid(), 'https://shop.example', 'whsec_x', '{checkout.completed}')"
)


def detach_before(yard: Yard, month: date) -> str | None:
    """Detach the months before this one; return what refused it."""
    with yard.engine.begin() as connection:
        refused = detach(connection, plan_detachments(connection, yard.settings, month))
    return None if refused is None else refused.obstacle


def read_sums(yard: Yard) -> list[tuple[Any, ...]]:
    """Return the ledger's on hand and reserved of each level."""
    return yard.shelf.rows("""
        SELECT variant_id, location_id, sum(quantity) FILTER (WHERE kind NOT IN ('reserve', 'release')),
               coalesce(sum(quantity) FILTER (WHERE kind IN ('reserve', 'release', 'sell')), 0)
        FROM stock_movements GROUP BY 1, 2 ORDER BY 1, 2
    """)


def list_attached(yard: Yard) -> set[date]:
    with yard.engine.connect() as connection:
        return {each.month for each in list_partitions(connection) if each.is_attached and each.month < MAY}


def test_a_month_is_detached_and_every_sum_stays(yard: Yard) -> None:
    # Given two months with purchases, and one that was cancelled
    yard.make(MARCH, APRIL)
    yard.buy_in(MARCH, MARCH, APRIL)
    cancelled = yard.start_in(MARCH, token=None)
    yard.works.pump()
    yard.works.service.cancel(cancelled, "shop-1")
    yard.works.pump()
    sums = read_sums(yard)
    # When
    assert detach_before(yard, APRIL) is None
    # Then
    assert (read_sums(yard), list_attached(yard), yard.audit()) == (sums, {APRIL}, [])
    assert yard.shelf.rows("SELECT quantity FROM stock_movements WHERE kind = 'balance'") == [(-2,)]
    assert yard.shelf.rows("SELECT month FROM detached_months") == [(MARCH,)]
    assert yard.shelf.row("SELECT count(*) AS kept FROM partitions.events_2024_03").kept > 0
    assert yard.shelf.stock("cup") == (7, 0)
    # and again, with the rest
    assert detach_before(yard, MAY) is None
    assert (read_sums(yard), list_attached(yard), yard.audit()) == (sums, set(), [])
    # and with nothing left to detach
    assert detach_before(yard, MAY) is None


def test_the_audit_still_sees_what_is_wrong_after_a_detachment(yard: Yard) -> None:
    yard.make(MARCH)
    bought = yard.buy_in(MARCH, APRIL)
    yard.make(APRIL)
    assert detach_before(yard, APRIL) is None
    # A ledger without its balance, and a month that is attached without its movements or its ending event
    yard.shelf.force("DELETE FROM stock_movements WHERE kind = 'balance'")
    assert yard.audit() == ["stock_is_ledger"]
    yard.shelf.force("DELETE FROM stock_movements WHERE checkout_id = :id AND kind = 'reserve'", id=bought[1])
    yard.shelf.force("DELETE FROM events WHERE checkout_id = :id AND kind = 'checkout.completed'", id=bought[1])
    assert yard.audit() == ["stock_is_ledger", "reservations_are_ledger", "one_ending_event"]


def test_a_late_event_of_a_detached_month_is_kept_and_is_nobodys_fault(yard: Yard) -> None:
    yard.make(MARCH)
    (bought,) = yard.buy_in(MARCH)
    assert detach_before(yard, APRIL) is None
    yard.shelf.run(
        "INSERT INTO events (checkout_id, kind, owner) VALUES (:id, 'payment.late_answer', 'shop')", id=bought
    )
    assert yard.make_missing() == 0
    assert yard.audit() == []
    assert yard.shelf.rows("SELECT kind FROM events WHERE checkout_id = :id", id=bought) == [("payment.late_answer",)]


def test_a_purchase_of_a_detached_month_is_refunded_and_restocked(yard: Yard) -> None:
    # Given
    yard.make(MARCH, APRIL)
    (bought,) = yard.buy_in(MARCH)
    (order_id,) = yard.shelf.row("SELECT id FROM orders WHERE checkout_id = :id", id=bought)
    assert detach_before(yard, APRIL) is None
    # When
    request = CancelRequest(reason="months later")
    yard.works.orders.request(order_id, None, request, actor="operator:ada", idempotency_key="k")
    yard.works.pump()
    # Then
    assert yard.shelf.rows("SELECT state FROM order_changes") == [("done",)]
    assert yard.shelf.stock("cup") == (10, 0)
    assert yard.shelf.rows("SELECT kind FROM events WHERE checkout_id = :id", id=bought) == [("order.cancelled",)]
    assert (yard.make_missing(), yard.audit()) == (0, [])


def test_a_restock_of_a_month_stays_when_the_month_is_detached(yard: Yard) -> None:
    yard.make(MARCH, APRIL)
    (bought,) = yard.buy_in(MARCH)
    (order_id,) = yard.shelf.row("SELECT id FROM orders WHERE checkout_id = :id", id=bought)
    yard.works.orders.request(order_id, None, CancelRequest(), actor="operator:ada", idempotency_key="k")
    assert (detach_before(yard, APRIL) or "").startswith("1 change of an order has not ended")
    yard.works.pump()
    sums = read_sums(yard)
    assert detach_before(yard, APRIL) is None
    assert (read_sums(yard), yard.audit(), yard.shelf.stock("cup")) == (sums, [], (10, 0))
    assert yard.shelf.rows("SELECT count(*) FROM order_changes") == [(1,)]


#: What keeps a month, planted past the triggers, and the sentence.
OBSTACLES: Final = {
    "not audited: events": (
        "DELETE FROM events WHERE kind = 'checkout.completed'",
        "one_ending_event is broken: run `checkout audit`",
    ),
    "not audited: movements": (
        "UPDATE reservations SET quantity = 2",
        "reservations_are_ledger is broken: run `checkout audit`",
    ),
    "reserved": (
        "DELETE FROM stock_movements WHERE kind = 'sell'",
        "1 stock level still has units reserved by it: run `checkout audit`",
    ),
    "unknown": ("UPDATE payment_operations SET status = 'unknown' WHERE kind = 'open'", "1 gateway call has no known"),
    "review": ("UPDATE payments SET review = '{}'", "1 payment needs review"),
    "webhook": (
        f"{ENDPOINT}; INSERT INTO webhook_deliveries (checkout_id, event_id, endpoint_id)"
        " SELECT e.checkout_id, e.id, p.id FROM events e, webhook_endpoints p WHERE e.kind = 'checkout.completed'",
        "1 outbound webhook is not delivered, or not yet past the retention",
    ),
    "misplaced": (
        "INSERT INTO events (checkout_id, kind, owner) SELECT id, 'x', owner FROM checkouts;"
        "ALTER TABLE events DETACH PARTITION partitions.events_2024_03;"
        "INSERT INTO events (checkout_id, kind, owner) SELECT id, 'x', owner FROM checkouts",
        "1 row is in a default partition: run `checkout partitions create` first",
    ),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_month_that_is_not_finished_stays(yard: Yard, name: str) -> None:
    yard.make(MARCH)
    yard.buy_in(MARCH)
    planted, sentence = OBSTACLES[name]
    with yard.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(planted)
    before = yard.shelf.rows("SELECT * FROM stock_movements ORDER BY id"), list_attached(yard)
    assert (detach_before(yard, APRIL) or "").startswith(sentence)
    assert (yard.shelf.rows("SELECT * FROM stock_movements ORDER BY id"), list_attached(yard)) == before
    assert yard.shelf.rows("SELECT * FROM detached_months") == []


def test_a_month_with_an_active_checkout_stays(yard: Yard) -> None:
    yard.make(MARCH)
    yard.start_in(MARCH, token=None)
    yard.works.pump()
    assert detach_before(yard, APRIL) == "1 checkout is still active"
    assert list_attached(yard) == {MARCH}


def test_this_month_stays(yard: Yard) -> None:
    following = add_months(datetime.now(UTC).date(), 1)
    assert detach_before(yard, following) == "it is not over"


def test_what_begins_between_plan_and_detachment_is_seen(yard: Yard) -> None:
    yard.make(MARCH)
    yard.buy_in(MARCH)
    with yard.engine.connect() as connection, connection.begin() as transaction:
        planned = plan_detachments(connection, yard.settings, APRIL)
        transaction.rollback()
    yard.start_in(MARCH, token=None)
    with yard.engine.begin() as connection:
        refused = detach(connection, planned)
    assert refused is not None
    assert refused.obstacle == "1 checkout is still active"
    assert list_attached(yard) == {MARCH}


def test_a_count_from_before_a_detached_sale_is_refused(yard: Yard) -> None:
    yard.make(MARCH)
    (bought,) = yard.buy_in(MARCH)
    (sold_at,) = yard.shelf.row("SELECT max(at) FROM stock_movements WHERE checkout_id = :id", id=bought)
    assert detach_before(yard, APRIL) is None
    code = yard.shelf.row("SELECT code FROM locations").code
    with yard.engine.begin() as connection:
        with pytest.raises(CheckoutError):
            set_stock(connection, [StockCount("cup", code, 4, sold_at - timedelta(seconds=1))])
        set_stock(connection, [StockCount("cup", code, 4, sold_at + timedelta(seconds=1))])
    assert (yard.shelf.stock("cup"), yard.audit()) == ((4, 0), [])


def test_a_detached_partition_can_be_dropped(yard: Yard) -> None:
    yard.make(MARCH)
    yard.buy_in(MARCH)
    assert detach_before(yard, APRIL) is None
    with yard.engine.begin() as connection:
        for table in ("events", "stock_movements"):
            connection.execute(text(f"DROP TABLE partitions.{table}_2024_03"))
    assert yard.audit() == []
