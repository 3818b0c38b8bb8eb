"""Rows that are written once: no statement of any client changes them, and every due step is still possible."""

import itertools
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, TypeVar

import pytest
from psycopg import Error
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from models.guards import APPEND_ONLY, BAD_TRANSITION
from models.history import FROZEN
from models.states import (
    OPERATION_TRANSITIONS,
    ORDER_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    RESERVATION_TRANSITIONS,
    OperationKind,
    OperationStatus,
    OrderState,
    PaymentStatus,
    ReservationState,
)
from tests.support.harness import Shelf, Works
from tests.support.workbench import take_snapshot

State = TypeVar("State", bound=StrEnum)

#: Another value of each type.
OTHER: Final = {
    "uuid": "gen_random_uuid()",
    "text": "'another'",
    "character": "'JPY'",
    "bigint": "{column} + 1",
    "integer": "{column} + 1",
    "smallint": "{column} + 1",
    "jsonb": """'{{"another": 1}}'""",
    "timestamp with time zone": "now() - interval '9 days'",
}
COLUMNS: Final = [(table, column) for table, columns in FROZEN.items() for column in columns]


@pytest.fixture
def sold(works: Works, shelf: Shelf) -> Iterator[Shelf]:
    """One that was bought, with a coupon and a refund, one that was declined, and a webhook about the first."""
    shelf.add_variant("cup", stock=9)
    shelf.add_coupon("TEN")
    for token in ("tok_ok", "tok_capture_declined"):
        works.start(shelf.add_cart(("cup", 1), coupon_codes=["TEN"]), token=token)
    works.pump()
    shelf.run(
        "INSERT INTO webhook_inbox (id, gateway, event_id, kind, body, status, received_at)"
        " VALUES (gen_random_uuid(), 'sandbox', 'evt_1', 'k', '{}', 'applied', now() - interval '2 days'),"
        " (gen_random_uuid(), 'sandbox', 'evt_2', 'k', '{}', 'applied', now() - interval '2 hours')"
    )
    shelf.run(
        "INSERT INTO order_changes (id, order_id, checkout_id, owner, kind, amount_minor, actor, due_at)"
        " SELECT gen_random_uuid(), id, checkout_id, 'shop-1', 'refund', 1, 'test', now()"
        " FROM orders WHERE state = 'placed'"
    )
    shelf.run(
        "INSERT INTO refunds (change_id, checkout_id, n, idempotency_key, amount_minor)"
        " SELECT id, checkout_id, 1, checkout_id || ':refund_amount:1', 1 FROM order_changes"
    )
    yield shelf
    shelf.force("DELETE FROM webhook_inbox")


def refuse(shelf: Shelf, sql: str) -> tuple[str | None, str]:
    """Run a statement that must be refused; return its SQLSTATE and the first line of its sentence."""
    with pytest.raises(DBAPIError) as caught:
        shelf.run(sql)
    assert isinstance(caught.value.orig, Error)
    return caught.value.orig.sqlstate, str(caught.value.orig).splitlines()[0]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_frozen_column_never_changes(sold: Shelf, engine: Engine, table: str, column: str) -> None:
    before = take_snapshot(engine)
    read = sold.row(
        "SELECT data_type, is_identity FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = :table AND column_name = :column",
        table=table,
        column=column,
    )
    other = "DEFAULT" if read.is_identity == "YES" else OTHER[read.data_type].format(column=column)
    state, sentence = refuse(sold, f"UPDATE {table} SET {column} = {other}")
    assert state == APPEND_ONLY
    assert sentence.startswith("The columns ")
    assert sentence.endswith(f" of a row of {table} never change once written.")
    assert take_snapshot(engine) == before


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "UPDATE checkouts SET failure_code = 'x' WHERE state = 'failed'",
            "The reason of the end of a row of checkouts",
        ),
        (
            "UPDATE checkouts SET ending = 'expired' WHERE state = 'failed'",
            "The reason of the end of a row of checkouts",
        ),
        ("UPDATE payments SET reference = 'pay_other'", "The object at the provider of a row of payments"),
        ("UPDATE payments SET reference = NULL", "The object at the provider of a row of payments"),
        ("UPDATE orders SET number = 7 WHERE state = 'placed'", "The number and the time of a row of orders"),
        ("UPDATE orders SET placed_at = now() - interval '1 day' WHERE state = 'placed'", "The number and the time"),
        ("UPDATE redemptions SET returned_at = NULL WHERE returned_at IS NOT NULL", "The time of the return"),
    ],
)
def test_what_has_its_value_keeps_it(sold: Shelf, engine: Engine, statement: str, sentence: str) -> None:
    before = take_snapshot(engine)
    state, said = refuse(sold, statement)
    assert (state, said.startswith(sentence)) == (APPEND_ONLY, True), said
    assert take_snapshot(engine) == before


@pytest.mark.parametrize(
    "table",
    ["checkouts", "orders", "payment_operations", "payments", "price_locks", "redemptions", "reservations"],
)
def test_rows_that_count_are_never_removed(sold: Shelf, engine: Engine, table: str) -> None:
    before = take_snapshot(engine)
    assert refuse(sold, f"DELETE FROM {table}")[0] == APPEND_ONLY
    assert refuse(sold, f"TRUNCATE {table} CASCADE")[0] == APPEND_ONLY
    assert take_snapshot(engine) == before


def test_what_is_deleted_was_kept_for_a_day(sold: Shelf) -> None:
    sold.run("INSERT INTO rejected_messages (queue, body, code, message) VALUES ('q', 'b', 'c', 'm')")
    for table in ("rejected_messages", "webhook_inbox"):
        assert refuse(sold, f"DELETE FROM {table}")[0] == APPEND_ONLY
    assert sold.run("DELETE FROM webhook_inbox WHERE event_id = 'evt_1'") == 1
    # One that is still to be worked on stays for however long.
    sold.run("UPDATE webhook_inbox SET due_at = now() WHERE event_id = 'evt_2'")
    sold.force("UPDATE webhook_inbox SET received_at = now() - interval '9 days'")
    assert refuse(sold, "DELETE FROM webhook_inbox")[0] == APPEND_ONLY


def read_refused(
    engine: Engine, table: str, column: str, values: type[StrEnum], where: str, prepare: str = "SELECT"
) -> set[tuple[str, str]]:
    """Return the pairs of states between which this row may not go; nothing is committed."""
    refused = set()
    for old, new in itertools.permutations(values, 2):
        with engine.connect() as connection:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql(prepare)
            connection.exec_driver_sql(f"UPDATE {table} SET {column} = '{old}' WHERE {where}")
            connection.exec_driver_sql("SET LOCAL session_replication_role = origin")
            try:
                count = connection.exec_driver_sql(f"UPDATE {table} SET {column} = '{new}' WHERE {where}").rowcount
            except DBAPIError as error:
                refused.add((str(old), str(new), getattr(error.orig, "sqlstate", None)))
            else:
                assert count == 1
            connection.rollback()
    assert {state for _, _, state in refused} == {BAD_TRANSITION}
    return {(old, new) for old, new, _ in refused}


def all_but(values: type[State], transitions: Mapping[State, frozenset[State]]) -> set[tuple[str, str]]:
    """Return every pair that is not drawn."""
    return {(str(a), str(b)) for a in values for b in set(values) - {a} - set(transitions.get(a, ()))}


BOUGHT: Final = "checkout_id = (SELECT id FROM checkouts WHERE state = 'completed')"


def test_only_the_drawn_steps_of_a_payment_exist(sold: Shelf, engine: Engine) -> None:
    refused = read_refused(engine, "payments", "status", PaymentStatus, BOUGHT)
    assert refused == all_but(PaymentStatus, PAYMENT_TRANSITIONS)
    assert ("captured", "open") in refused
    assert ("refunded", "new") in refused


@pytest.mark.parametrize("kind", OperationKind)
def test_only_the_drawn_steps_of_a_call_exist(sold: Shelf, engine: Engine, kind: OperationKind) -> None:
    prepare = (
        "INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, fence)"
        f" SELECT id, '{kind}', 9, 'k', 1, 0 FROM checkouts WHERE state = 'failed'"
    )
    refused = read_refused(engine, "payment_operations", "status", OperationStatus, "idempotency_key = 'k'", prepare)
    expected = all_but(OperationStatus, OPERATION_TRANSITIONS)
    if kind not in {OperationKind.CAPTURE, OperationKind.REFUND}:
        expected.add(("succeeded", "declined"))
    assert refused == expected


def test_only_the_drawn_steps_of_a_reservation_exist(sold: Shelf, engine: Engine) -> None:
    refused = read_refused(engine, "reservations", "state", ReservationState, BOUGHT)
    assert refused == all_but(ReservationState, RESERVATION_TRANSITIONS)


def test_an_order_is_placed_or_cancelled_once(sold: Shelf, engine: Engine) -> None:
    before = take_snapshot(engine)
    drawn = all_but(OrderState, ORDER_TRANSITIONS)
    assert drawn == {("placed", "pending"), ("cancelled", "pending"), ("cancelled", "placed")}
    for old, new in drawn:
        number = "nextval('order_numbers')" if new == "placed" else "NULL"
        state, _ = refuse(sold, f"UPDATE orders SET state = '{new}', number = {number} WHERE state = '{old}'")
        assert state in {BAD_TRANSITION, APPEND_ONLY}
        assert refuse(sold, f"UPDATE orders SET state = '{new}' WHERE state = '{old}'")[0] == BAD_TRANSITION
    assert take_snapshot(engine) == before
