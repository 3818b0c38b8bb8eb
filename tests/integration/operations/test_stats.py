"""The figures of the monitor: exact over known rows, and cheap however many checkouts have ended."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Connection, Engine, TextClause, text

from pipeline.checkouts.conditions import bind_conditions
from pipeline.operations.statistics import ACTIVE, DURATION, ENDED, FIGURES, RATES, Duration, Stats, read_stats
from pipeline.saga import CHAIN
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works

CONSISTENT_ROWS: Final = Path(__file__).parents[1] / "audit" / "consistent_rows.sql"


def write(engine: Engine, sql: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(sql)


def read(engine: Engine, settings: Settings, hours: float = 24) -> Stats:
    with engine.connect() as connection:
        return read_stats(connection, settings, hours=hours)


def add_active(state: str, *, phase: int, sent: str = "0 s", expires: str = "15 min", due: str = "5 s") -> str:
    """SQL of an active checkout; times are relative to now."""
    review = "'{}'" if state == "needs_review" else "NULL"
    return (
        "INSERT INTO checkouts (id, cart_id, owner, currency, state, phase, straight_through, review,"
        " sent_at, expires_at, due_at, due_reason) VALUES"
        f" (gen_random_uuid(), gen_random_uuid(), 'shop', 'EUR', '{state}', {phase}, true,"
        f" {review}, now() - interval '{sent}', now() + interval '{expires}', now() + interval '{due}', 'stalled');"
    )


def add_ended(state: str, *, code: str | None = None, seconds: float = 1, ago: str = "1 min") -> str:
    phase, failure = (7, "NULL") if state == "completed" else (0, f"'{code}'")
    return (
        "INSERT INTO checkouts (id, cart_id, owner, currency, state, phase, straight_through, expires_at, failure_code,"
        f" created_at, ended_at) VALUES (gen_random_uuid(), gen_random_uuid(), 'shop', 'EUR', '{state}', {phase}, true,"
        f" now(), {failure}, now() - interval '{ago}' - interval '{seconds} s', now() - interval '{ago}');"
    )


def test_an_empty_database_has_figures(engine: Engine, settings: Settings) -> None:
    found = read(engine, settings)
    assert set(found.states.values()) == {0}
    assert len(found.states) == 9
    assert (found.success_rate, found.duration, found.failures) == (None, None, {})
    assert [step.name for step in found.steps] == [*(phase.name for phase in CHAIN), "unwind"]
    assert {(step.checkouts, step.oldest_seconds) for step in found.steps} == {(0, None)}
    assert [step.per_minute for step in found.steps] == [0] * 7 + [None]
    assert found.coupons_held == 0
    assert (found.expired, found.stuck, found.needs_review, found.held_units, found.redelivered) == (0, 0, 0, 0, 0)


def test_the_figures_of_the_database(engine: Engine, settings: Settings) -> None:
    # given one checkout completed in 2 s, one failed, one running after two phases with a mug on hold
    write(engine, CONSISTENT_ROWS.read_text())
    # when
    found = read(engine, settings)
    # then
    assert {state: count for state, count in found.states.items() if count} == {
        "completed": 1,
        "failed": 1,
        "running": 1,
    }
    assert found.success_rate == 0.5
    assert found.failures == {"payment_declined": 1}
    assert found.duration == Duration(p50_seconds=2, p95_seconds=2, average_seconds=2)
    assert {step.name: step.checkouts for step in found.steps if step.checkouts} == {"price_lock": 1}
    assert (found.held_lines, found.held_units) == (1, 1)
    assert (found.payments_unknown, found.rejected_messages, found.redelivered, found.stuck) == (0, 0, 0, 0)


def test_the_window_bounds_what_ended_and_not_what_is_active(engine: Engine, settings: Settings) -> None:
    write(
        engine,
        add_ended("completed", seconds=1, ago="10 min")
        + add_ended("completed", seconds=60, ago="2 hours")
        + add_ended("expired", code="expired", ago="3 hours")
        + add_active("awaiting_payment", phase=3, sent="4 hours")
        + "INSERT INTO events (checkout_id, kind, at, owner)"
        " SELECT id, 'sweep.redelivered', now() - interval '90 min', owner FROM checkouts"
        " WHERE state = 'awaiting_payment';"
        "INSERT INTO events (checkout_id, kind, owner) SELECT id, 'checkout.started', owner FROM checkouts;"
        "INSERT INTO rejected_messages (queue, body, code, message, received_at)"
        " VALUES ('checkout.intake', 'x', 'message_invalid', 'x', now() - interval '90 min')",
    )
    hour, day = read(engine, settings, hours=1), read(engine, settings, hours=24)
    assert (hour.states["completed"], hour.states["expired"], hour.states["awaiting_payment"]) == (1, 0, 1)
    assert (day.states["completed"], day.states["expired"], day.states["awaiting_payment"]) == (2, 1, 1)
    assert hour.success_rate == 1
    assert day.success_rate == pytest.approx(2 / 3)
    assert (hour.redelivered, day.redelivered) == (0, 1)
    assert (hour.rejected_messages, day.rejected_messages) == (0, 1)
    assert hour.duration == Duration(1, 1, 1)
    assert day.duration is not None
    assert (day.duration.p50_seconds, day.duration.average_seconds) == (30.5, 30.5)
    assert day.duration.p95_seconds == pytest.approx(57.05)


def test_what_waits_is_counted_by_its_next_phase(engine: Engine, settings: Settings) -> None:
    write(
        engine,
        add_active("running", phase=0, sent="10 s")
        + add_active("running", phase=0, sent="30 s")
        + add_active("running", phase=6)
        + add_active("unwinding", phase=2, sent="5 s")
        + add_active("unwinding", phase=1, sent="20 s")
        + add_active("action_required", phase=3),
    )
    steps = {step.name: step for step in read(engine, settings).steps if step.checkouts}
    assert {name: step.checkouts for name, step in steps.items()} == {
        "cart_validation": 2,
        "stock_commit": 1,
        "unwind": 2,
    }
    assert steps["cart_validation"].oldest_seconds == pytest.approx(30, abs=5)
    assert steps["unwind"].oldest_seconds == pytest.approx(20, abs=5)


def test_what_needs_attention_is_counted(engine: Engine, settings: Settings) -> None:
    write(
        engine,
        CONSISTENT_ROWS.read_text()
        + add_active("awaiting_payment", phase=3, expires="-1 hour")
        # Within the sweep's bound.
        + add_active("awaiting_payment", phase=3, expires="-1 s")
        + add_active("running", phase=1, due="-1 hour")
        + add_active("running", phase=1, due="-1 s")
        + add_active("needs_review", phase=6)
        # A running payment past its pivot does not expire.
        + add_active("running", phase=5, expires="-1 hour")
        + "UPDATE checkouts SET pivot_at = now() WHERE phase = 5;"
        "INSERT INTO payment_operations"
        " (checkout_id, kind, n, idempotency_key, amount_minor, status, fence, created_at)"
        " SELECT checkout_id, 'void', 2, 'a', 1, 'unknown', 0, now() - interval '6 min' FROM payments LIMIT 1;"
        "INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, status, fence)"
        " SELECT checkout_id, 'void', 4, 'c', 1, 'unknown', 0 FROM payments LIMIT 1;"
        "INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, status, fence)"
        " SELECT checkout_id, 'void', 3, 'b', 1, 'intended', 0 FROM payments LIMIT 1",
    )
    found = read(engine, settings)
    assert (found.expired, found.stuck, found.needs_review, found.payments_unknown) == (1, 1, 1, 1)


def test_the_most_frequent_codes_come_first_and_the_rest_is_one_figure(engine: Engine, settings: Settings) -> None:
    codes = [f"code_{n:02}" for n in range(12)]
    write(
        engine,
        "".join(add_ended("failed", code=code) for n, code in enumerate(codes) for _ in range(n + 1))
        + add_ended("completed"),
    )
    failures = read(engine, settings).failures
    assert list(failures.items()) == [*((f"code_{n:02}", n + 1) for n in range(11, 1, -1)), ("others", 3)]


def test_no_query_reads_what_ended_long_ago(engine: Engine, settings: Settings) -> None:
    # given twenty thousand old checkouts with all that they leave, and three of today
    old = 20_000
    with engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        # Files of their own: in the gaps that other tests left, rows would not lie in the order of their times.
        connection.exec_driver_sql("TRUNCATE checkouts, events CASCADE")
        connection.exec_driver_sql(
            "INSERT INTO checkouts (id, cart_id, owner, currency, state, phase, straight_through, expires_at, ended_at)"
            " SELECT gen_random_uuid(), gen_random_uuid(), 'shop', 'EUR', 'completed', 7, true, now(),"
            f" now() - interval '1 year' - make_interval(secs => n) FROM generate_series(1, {old}) AS n;"
            "INSERT INTO events (checkout_id, kind, at, owner)"
            " SELECT id, 'checkout.completed', ended_at, owner FROM checkouts;"
            "INSERT INTO reservations (checkout_id, line, variant_id, location_id, quantity, state)"
            " SELECT id, 1, 2, 1, 1, 'committed' FROM checkouts;"
            "INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, status, fence)"
            " SELECT id, 'capture', 1, id, 500, 'succeeded', 0 FROM checkouts;"
            "INSERT INTO rejected_messages (queue, body, code, message, received_at)"
            " SELECT 'checkout.intake', 'x', 'message_invalid', 'x', ended_at FROM checkouts;"
            "INSERT INTO redemptions (checkout_id, code) SELECT id, 'TEN' FROM checkouts;"
            "INSERT INTO webhook_deliveries (checkout_id, event_id, endpoint_id, status, due_at, ended_at)"
            " SELECT checkout_id, id, gen_random_uuid(), 'delivered', NULL, at FROM events;"
            + CONSISTENT_ROWS.read_text()
        )
        connection.exec_driver_sql(
            "ANALYZE checkouts, events, reservations, payment_operations, rejected_messages, redemptions,"
            " webhook_deliveries"
        )
        # Of a partition with a few rows the planner may take either way. The old ones are all in the default partition.
        small = set(
            connection.scalars(
                text(
                    "SELECT relname FROM pg_class WHERE relnamespace = 'partitions'::regnamespace"
                    " AND relkind = 'r' AND reltuples < 100"
                )
            )
        )
        assert "events_default" not in small
        # when
        plans = {name: explain(connection, query, settings) for name, query in QUERIES.items()}
        transaction.rollback()
    # then every table is read through an index, and no step of a plan expects more than a handful of rows
    for name, plan in plans.items():
        steps = list(walk(plan))
        read = [step["Relation Name"] for step in steps if step["Node Type"] == "Seq Scan"]
        assert set(read) <= small, name
        # Rates come through blocks of the newest events: some fifteen hundred, however many there are.
        assert max(step["Plan Rows"] for step in steps) < (old / 5 if name == "rates" else old / 100), name


QUERIES: Final = {"active": ACTIVE, "ended": ENDED, "duration": DURATION, "figures": FIGURES, "rates": RATES}


def explain(connection: Connection, query: TextClause, settings: Settings) -> dict[str, Any]:
    bound = {**bind_conditions(settings), "window_seconds": 24 * 3600}
    answer: list[dict[str, Any]] = connection.execute(text(f"EXPLAIN (FORMAT JSON) {query}"), bound).scalar_one()
    plan: dict[str, Any] = answer[0]["Plan"]
    return plan


def walk(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for step in plan.get("Plans", []):
        yield from walk(step)


def test_rates_and_coupons_of_what_is_under_way(works: Works, shelf: Shelf) -> None:
    # Given one that is waiting with a coupon, one that is bought, and one whose phases were completed long ago
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_coupon("TEN")
    works.start(shelf.add_cart(("cup", 1), coupon_codes=["TEN"]))
    works.start(shelf.add_cart(("cup", 1), coupon_codes=["TEN"]), token="tok_ok")
    works.pump()
    with works.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(
            "INSERT INTO events (checkout_id, kind, phase, at, owner)"
            " SELECT id, 'checkout.phase_completed', 'price_lock', now() - interval '61 s', owner FROM checkouts"
        )
    # When
    found = read(works.engine, works.settings)
    # Then
    assert found.coupons_held == 1
    assert {step.name: step.per_minute for step in found.steps} == {
        "cart_validation": 2,
        "inventory_reservation": 2,
        "price_lock": 2,
        "payment_authorization": 1,
        "order_creation": 1,
        "payment_capture": 1,
        "stock_commit": 1,
        "unwind": None,
    }
