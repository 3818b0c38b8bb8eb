"""Partitions of months: look-ups read one of them, rows without one are kept and reported, guards hold in each."""

from datetime import UTC, date, datetime
from threading import Thread
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from models.guards import APPEND_ONLY
from models.names import PARTITIONED
from pipeline.checkouts.events import write_events
from pipeline.database.ids import first_id
from pipeline.database.roles import Role, grant
from pipeline.gateways.installed import list_grants
from pipeline.operations import diagnose
from pipeline.operations.diagnostics import Severity
from pipeline.operations.partitions import add_months, find_missing, list_partitions, make_partitions
from tests.integration.operations.months import APRIL, MARCH, Yard, count_in
from tests.integration.operations.test_stats import walk

LEVEL: Final = "variant_id, location_id"
LOOK_UPS: Final = {
    "events": "SELECT kind FROM events WHERE checkout_id = $1 ORDER BY id",
    "stock_movements": "SELECT quantity FROM stock_movements WHERE checkout_id = $1",
    "a delivery's event": "SELECT kind FROM events e JOIN webhook_deliveries d"
    " ON e.checkout_id = d.checkout_id AND e.id = d.event_id WHERE d.checkout_id = $1",
}


def read_findings(yard: Yard) -> dict[str, int]:
    with yard.engine.connect() as connection:
        found = diagnose(connection, yard.settings)
    return {each.code: each.count for each in found if each.severity != Severity.OK and each.code.startswith("part")}


@pytest.mark.parametrize("name", LOOK_UPS)
@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_a_look_up_by_checkout_reads_one_partition(yard: Yard, name: str, mode: str) -> None:
    yard.make(MARCH, APRIL)
    (bought,) = yard.buy_in(MARCH)
    with yard.engine.connect() as connection:
        connection.exec_driver_sql(f"SET LOCAL plan_cache_mode = {mode}")
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql(f"PREPARE look_up (uuid) AS {LOOK_UPS[name]}")
        (explained,) = connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE look_up ('{bought}')"
        ).scalar_one()
    steps: list[dict[str, Any]] = list(walk(explained["Plan"]))
    read = {step["Relation Name"] for step in steps if "Relation Name" in step and step["Actual Loops"]}
    assert {each for each in read if each.startswith(PARTITIONED)} <= {"events_2024_03", "stock_movements_2024_03"}
    assert {step["Node Type"] for step in steps if "Relation Name" in step} <= {
        "Index Scan",
        "Index Only Scan",
        "Bitmap Heap Scan",
    }


def test_this_month_and_the_next_three_are_there_from_the_start(yard: Yard) -> None:
    this_month = datetime.now(UTC).date().replace(day=1)
    with yard.engine.connect() as connection:
        found = {(each.table, each.month) for each in list_partitions(connection) if each.is_attached}
        assert found == {(table, add_months(this_month, n)) for table in PARTITIONED for n in range(4)}
        assert find_missing(connection, 3) == []
        assert {(each.table, each.month) for each in find_missing(connection, 5)} == {
            (table, add_months(this_month, n)) for table in PARTITIONED for n in (4, 5)
        }
    assert read_findings(yard) == {}


def test_without_a_partition_rows_are_kept_reported_and_moved(yard: Yard) -> None:
    # Given a purchase of a month without a partition, with an endpoint that hears of it
    yard.shelf.run(
        "INSERT INTO webhook_endpoints (id, url, secret, kinds)"
        " VALUES (gen_random_uuid(), 'https://shop.example', 'whsec_x', '{checkout.completed}')"
    )
    bought, other = yard.buy_in(MARCH, APRIL)
    with yard.engine.connect() as connection:
        events = count_in(connection, "events", bought)["events_default"]
        assert count_in(connection, "stock_movements", bought) == {"stock_movements_default": 2}
    assert read_findings(yard) == {"partitions_misplaced": 2}
    before = yard.shelf.rows("SELECT * FROM events ORDER BY id"), yard.shelf.rows("SELECT * FROM stock_movements")
    # When
    moved = yard.make_missing()
    # Then every row is where it belongs, once, and all else is as before
    assert moved == sum(len(rows) for rows in before) - 1  # the cups were received without a checkout
    with yard.engine.connect() as connection:
        assert count_in(connection, "events", bought) == {"events_2024_03": events}
        assert count_in(connection, "stock_movements", other) == {"stock_movements_2024_04": 2}
    assert yard.shelf.rows("SELECT * FROM events ORDER BY id") == before[0]
    assert sorted(yard.shelf.rows("SELECT * FROM stock_movements"), key=str) == sorted(before[1], key=str)
    assert yard.shelf.rows("SELECT conname FROM pg_constraint WHERE confrelid = 'events'::regclass") == [
        ("webhook_deliveries_checkout_id_event_id_fkey",)
    ]
    assert (read_findings(yard), yard.make_missing(), yard.audit()) == ({}, 0, [])


def test_an_id_of_no_time_stays_in_the_default_partition(yard: Yard) -> None:
    strange = UUID("ffffffff-ffff-7fff-8fff-ffffffffffff")
    yard.shelf.force(
        "INSERT INTO events (checkout_id, kind, owner) VALUES (:id, 'checkout.started', 'shop')", id=strange
    )
    assert yard.make_missing() == 0
    with yard.engine.connect() as connection:
        assert count_in(connection, "events", strange) == {"events_default": 1}
    assert read_findings(yard) == {"partitions_misplaced": 1}


def test_a_partition_that_is_missing_is_reported(yard: Yard) -> None:
    next_month = add_months(datetime.now(UTC).date(), 1)
    yard.shelf.run(f"ALTER TABLE events DETACH PARTITION partitions.events_{next_month:%Y_%m}")
    yard.shelf.run(f"DROP TABLE partitions.events_{next_month:%Y_%m}")
    assert read_findings(yard) == {"partitions_missing": 1}
    yard.make_missing()
    assert read_findings(yard) == {}


@pytest.mark.parametrize("partition", ["events_2024_03", "stock_movements_2024_03", "events_default"])
@pytest.mark.parametrize("statement", ["DELETE FROM {0}", "UPDATE {0} SET at = now()", "TRUNCATE {0} CASCADE"])
def test_history_is_kept_in_each_partition(yard: Yard, partition: str, statement: str) -> None:
    yard.make(MARCH)
    yard.buy_in(MARCH, APRIL)
    for target in (f"partitions.{partition}", "events" if partition.startswith("events") else "stock_movements"):
        with yard.engine.connect() as connection, pytest.raises(DBAPIError) as caught:
            connection.exec_driver_sql(statement.format(target))
        assert getattr(caught.value.orig, "sqlstate", None) == APPEND_ONLY


def test_a_moved_row_is_history_again(yard: Yard) -> None:
    yard.buy_in(MARCH)
    yard.make_missing()
    disabled = yard.shelf.rows("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgenabled <> 'O'")
    assert disabled == []


@pytest.mark.parametrize("table", PARTITIONED)
@pytest.mark.parametrize("month", [MARCH, APRIL], ids=["with a partition", "without one"])
def test_a_row_is_stored_once_in_whichever_partition(yard: Yard, table: str, month: date) -> None:
    yard.make(MARCH)
    (bought,) = yard.buy_in(month)
    columns = {
        "events": "checkout_id, id, kind, owner",
        "stock_movements": f"checkout_id, id, kind, {LEVEL}, quantity",
    }[table]
    again = (
        f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {table} WHERE checkout_id = :id"
    )
    with yard.engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(again), {"id": bought})
    assert getattr(caught.value.orig, "sqlstate", None) == "23505"


def test_a_movement_without_a_checkout_is_stored_once(yard: Yard) -> None:
    columns = f"id, kind, {LEVEL}, quantity"
    again = f"INSERT INTO stock_movements ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM stock_movements"
    with yard.engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(again))
    assert getattr(caught.value.orig, "sqlstate", None) == "23505"


def test_checkouts_go_on_while_partitions_are_made(yard: Yard) -> None:
    # Given rows of a month that is about to get its partition, and a transaction that writes more of them
    ids = yard.buy_in(*[MARCH] * 4)
    made: list[int] = []
    before = yard.shelf.row("SELECT count(*) AS events FROM events").events
    with yard.engine.connect() as writer, writer.begin():
        writer.execute(text("SELECT FROM checkouts WHERE id = :id FOR NO KEY UPDATE"), {"id": ids[0]})
        write_events(writer, "payment.late_answer", ids[:1])
        # When the maker waits for that transaction, and another one for the maker
        maker = Thread(target=lambda: made.append(yard.make_missing()))
        maker.start()
        await_waiting(yard, 1)
        late = Thread(target=write_late, args=(yard, ids[1]))
        late.start()
        await_waiting(yard, 2)
        write_events(writer, "payment.late_answer", ids[:1])
    maker.join(20)
    late.join(20)
    # Then all have committed, and every row is in its partition
    assert made == [before + 2 + 4 * 2]
    with yard.engine.connect() as connection:
        assert [set(count_in(connection, "events", each)) for each in ids] == [{"events_2024_03"}] * 4
    assert yard.shelf.row("SELECT count(*) AS events FROM events").events == before + 3


def write_late(yard: Yard, checkout_id: UUID) -> None:
    with yard.engine.begin() as connection:
        connection.execute(text("SELECT FROM checkouts WHERE id = :id FOR NO KEY UPDATE"), {"id": checkout_id})
        write_events(connection, "payment.late_answer", [checkout_id])


def await_waiting(yard: Yard, count: int) -> None:
    """Wait until so many sessions of this database wait for a lock."""
    for _ in range(2000):
        (waiting,) = yard.shelf.row(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if waiting >= count:
            return
    raise AssertionError(f"{count} sessions never waited")


def test_two_who_make_them_make_each_once(yard: Yard) -> None:
    yard.buy_in(MARCH)
    with yard.engine.connect() as connection:
        missing = find_missing(connection, 3)
    yard.make_missing()
    with yard.engine.begin() as connection:
        assert make_partitions(connection, missing) == []


@pytest.mark.parametrize("role", Role)
def test_a_new_partition_is_reached_through_its_table_alone(yard: Yard, role: Role) -> None:
    with yard.engine.begin() as connection:
        grant(connection, list_grants())
    yard.make(MARCH)
    (bought,) = yard.buy_in(MARCH)
    with yard.engine.connect() as connection:
        connection.exec_driver_sql(f"SET ROLE {role}")
        assert connection.execute(text("SELECT kind FROM events WHERE checkout_id = :id"), {"id": bought}).all()
        if role is Role.WORKER:
            write_events(connection, "payment.late_answer", [bought])
        for statement in ("SELECT kind FROM", "DELETE FROM"):
            with pytest.raises(ProgrammingError), connection.begin_nested():
                connection.exec_driver_sql(f"{statement} partitions.events_2024_03")


@pytest.mark.parametrize("month", [date(1970, 1, 1), MARCH, date(2026, 12, 1), date(9999, 12, 1)])
def test_the_schema_and_the_code_have_the_same_bounds(yard: Yard, month: date) -> None:
    found = yard.shelf.row("SELECT first_id_of(:month) AS id", month=month).id
    assert found == first_id(datetime(month.year, month.month, 1, tzinfo=UTC))
