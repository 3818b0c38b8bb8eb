"""Health: faults are reported at once, to every client, and nothing else is."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import Connection, Engine, make_url, text

from pipeline.checkouts.conditions import bound_seconds
from pipeline.database.migrations import read_head
from pipeline.operations.health import DATABASE_CHECKS, Check, Health, check_database
from pipeline.settings import Settings
from tests.integration.workers.web.outages import NO_DATABASE, NO_REDIS, listen_and_say_nothing, open_web
from tests.integration.workers.web.stage import Stage, put_cart, start

NAMES: Final = ["database", *DATABASE_CHECKS, "broker", "gateway"]

#: The threads of the process: its own, and those of the health check.
POOLS: Final = ("web", "health")
HEAD: Final = read_head()
LATE: Final = "INSERT INTO heartbeats (name, at) VALUES ('sweep', now() - make_interval(secs => :seconds))"
CHECKOUT: Final = """
    INSERT INTO checkouts (id, cart_id, owner, currency, state, phase, straight_through, review, expires_at)
    VALUES (gen_random_uuid(), gen_random_uuid(), 'shop', 'EUR', :state, 3, true, CAST(:review AS jsonb),
            now() - make_interval(secs => :seconds))
"""
OPERATION: Final = """
    INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, status, fence, created_at)
    SELECT id, 'open', 1, 'k', 1, :status, 0, now() - make_interval(secs => :seconds) FROM checkouts
"""


def look(stage: Stage) -> tuple[int, dict[str, Any]]:
    """Request it without a key, once the last report is not shared any more."""
    time.sleep(1.05)
    answer = stage.client(token="none").get("/health/checkout")
    assert (answer.headers["cache-control"], answer.headers["content-type"]) == ("no-store", "application/json")
    return answer.status_code, answer.json()


def test_all_is_well(stage: Stage) -> None:
    stage.sweep()
    status, body = look(stage)
    assert (status, body["status"], list(body["checks"])) == (200, "healthy", NAMES)
    assert {check["status"] for check in body["checks"].values()} == {"healthy"}
    assert sorted(body) == ["checks", "status", "timestamp"]
    assert {tuple(sorted(check)) for check in body["checks"].values()} == {("count", "message", "status")}


def test_what_is_late_degrades(stage: Stage) -> None:
    # Given one that is past its time, one that is overdue, a payment without an answer, and a sweep of long ago
    stage.shelf.add_variant("cup", stock=9)
    client = stage.client()
    first, second = (start(client, put_cart(client, ("cup", 1))).json()["checkout_id"] for _ in range(2))
    stage.sweep()
    run = stage.shelf.run
    run("UPDATE checkouts SET expires_at = now() - interval '1 h' WHERE id = :id", id=first)
    run("UPDATE checkouts SET due_at = now() - interval '1 h', due_reason = 'scheduled' WHERE id = :id", id=second)
    run("INSERT INTO payments (checkout_id, gateway, token) VALUES (:id, 'sandbox', 'tok_ok')", id=second)
    run(
        "INSERT INTO payment_operations"
        " (checkout_id, kind, n, idempotency_key, amount_minor, status, fence, created_at)"
        " VALUES (:id, 'open', 1, 'k', 1, 'unknown', 0, now() - interval '6 min')",
        id=second,
    )
    run("UPDATE heartbeats SET at = now() - interval '30 s'")
    # When
    status, body = look(stage)
    # Then
    wrong = {name: check["count"] for name, check in body["checks"].items() if check["status"] != "healthy"}
    assert (status, body["status"]) == (200, "degraded")
    assert wrong == {"expired_locks": 1, "stuck_checkouts": 1, "payments_unknown": 1, "sweep_age": wrong["sweep_age"]}
    assert 30 <= wrong["sweep_age"] < 40
    # When no scheduler has swept for minutes
    run("UPDATE heartbeats SET at = now() - interval '3 min'")
    assert look(stage)[0] == 503
    # Finally, delete what was made up
    stage.shelf.force("DELETE FROM payment_operations")
    stage.shelf.force("DELETE FROM payments")
    run("UPDATE checkouts SET due_at = NULL, due_reason = NULL WHERE id = :id", id=second)
    for each in (first, second):
        client.post("/checkout/cancel", json={"checkout_id": each}, headers={"Prefer": "wait=5"})


def test_a_schema_of_another_day_is_unhealthy(stage: Stage) -> None:
    stage.shelf.run("UPDATE heartbeats SET at = now()")
    stage.shelf.run("UPDATE alembic_version SET version_num = '0000'")
    try:
        status, body = look(stage)
    finally:
        stage.shelf.run(f"UPDATE alembic_version SET version_num = '{read_head()}'")
    assert (status, body["status"], body["checks"]["migrations"]["status"]) == (503, "unhealthy", "unhealthy")


@pytest.mark.parametrize("mute", [False, True], ids=["refused", "silent"])
def test_without_postgresql_it_is_unhealthy_within_two_seconds(web_settings: Settings, *, mute: bool) -> None:
    with listen_and_say_nothing() as port:
        database = f"postgresql://somebody:secret-word@127.0.0.1:{port}/shop" if mute else NO_DATABASE
        with open_web(web_settings, database=database) as client:
            began = time.monotonic()
            answers = [client.get("/health/checkout") for _ in range(3)]
            seconds = time.monotonic() - began
    bodies = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert {name: check["status"] for name, check in bodies[0]["checks"].items()} == {
        name: "healthy" if name in {"broker", "gateway"} else "unhealthy" for name in NAMES
    }
    # One check for all three.
    assert seconds < 4
    assert len({body["timestamp"] for body in bodies}) == 1
    assert not any(word in answers[0].text for word in ("127.0.0.1", "secret-word", "somebody", "psycopg"))


def test_a_check_that_hangs_is_not_started_again(web_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given checks with a short bound, and a server that accepts connections and never answers
    monkeypatch.setattr("workers.web.health_check.BOUND_SECONDS", 0.2)
    monkeypatch.setattr("workers.web.health_check.SHARED_SECONDS", 0.0)
    others = set(threading.enumerate())
    with listen_and_say_nothing() as port:
        database = f"postgresql://somebody@127.0.0.1:{port}/shop"
        with open_web(web_settings, database=database) as client:
            # When it is requested more often than the process has threads
            answers = [client.get("/health/checkout") for _ in range(web_settings.web_connections + 2)]
            looking = sorted(each.name for each in set(threading.enumerate()) - others if each.name.startswith(POOLS))
    # Then each responds in time, one thread hangs, and Redis is not blamed
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["checks"]["broker"]["status"] for answer in answers} == {"healthy"}
    assert looking == ["health_0", "health_0"]


def test_without_redis_it_is_degraded(stage: Stage, web_settings: Settings) -> None:
    stage.sweep()
    with open_web(web_settings, redis=NO_REDIS) as client:
        answer = client.get("/health/checkout")
    wrong = {name for name, check in answer.json()["checks"].items() if check["status"] != "healthy"}
    assert (answer.status_code, answer.json()["status"], wrong) == (200, "degraded", {"broker"})


def test_a_database_without_tables_says_what_to_do(stage: Stage, web_settings: Settings) -> None:
    own = web_settings.database_url.get_secret_value()
    empty = make_url(own).set(database="template1").render_as_string(hide_password=False)
    with open_web(web_settings, database=empty) as client:
        answer = client.get("/health/checkout")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"]["message"].endswith("run `alembic upgrade head`.")


def test_many_at_once_share_one_check(stage: Stage) -> None:
    time.sleep(1.05)
    client = stage.client(token="none")
    bodies = [client.get("/health/checkout").json() for _ in range(20)]
    assert len({body["timestamp"] for body in bodies}) <= 2


@contextmanager
def pretend(engine: Engine) -> Iterator[Connection]:
    """Give a transaction in which anything may be written, at one moment; nothing of it is kept."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        yield connection
        connection.rollback()


def check(connection: Connection, settings: Settings, name: str) -> Check:
    """Return one check as it stands."""
    return check_database(connection, settings, HEAD)[0][name]


@pytest.mark.parametrize(
    ("seconds", "sweep_interval_seconds", "status"),
    [
        (10, 0.2, Health.HEALTHY),
        (10.01, 0.2, Health.DEGRADED),
        (60, 0.2, Health.DEGRADED),
        (60.01, 0.2, Health.UNHEALTHY),
        (20, 2.0, Health.HEALTHY),
        (20.01, 2.0, Health.DEGRADED),
        (120.01, 2.0, Health.UNHEALTHY),
    ],
)
def test_a_sweep_is_late_and_then_stopped(
    engine: Engine, settings: Settings, seconds: float, sweep_interval_seconds: float, status: Health
) -> None:
    with pretend(engine) as connection:
        connection.execute(text(LATE), {"seconds": seconds})
        found = check(
            connection, settings.model_copy(update={"sweep_interval_seconds": sweep_interval_seconds}), "sweep_age"
        )
    assert (found.status, found.count) == (status, int(seconds))


def test_a_sweep_that_never_ran_is_reported(engine: Engine, settings: Settings) -> None:
    with pretend(engine) as connection:
        found = check(connection, settings, "sweep_age")
    assert found == Check(Health.DEGRADED, "The sweep has never run: start the scheduler.", None)


@pytest.mark.parametrize(
    ("revision", "status"),
    [("0000", Health.UNHEALTHY), (HEAD, Health.HEALTHY), ("9999", Health.DEGRADED), (None, Health.UNHEALTHY)],
)
def test_a_schema_may_be_ahead_of_the_code_but_not_behind(
    engine: Engine, settings: Settings, revision: str | None, status: Health
) -> None:
    with pretend(engine) as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        if revision is not None:
            connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:it)"), {"it": revision})
        found = check(connection, settings, "migrations")
    assert found.status is status


@pytest.mark.parametrize("late_seconds", [-1, 1])
def test_what_the_gateway_still_has_is_not_past_its_time(engine: Engine, settings: Settings, late_seconds: int) -> None:
    with pretend(engine) as connection:
        # Given one that is past its time, by as much as the sweep may take or by more, with a call in flight
        seconds = bound_seconds(settings) + late_seconds
        connection.execute(text(CHECKOUT), {"state": "running", "review": None, "seconds": seconds})
        connection.execute(text(OPERATION), {"status": "intended", "seconds": 0})
        # Then the sweep leaves it alone, and so do we
        assert check(connection, settings, "expired_locks") == Check(Health.HEALTHY, "None.", 0)
        # When the call is settled
        connection.execute(text("UPDATE payment_operations SET status = 'succeeded'"))
        # Then it counts, once it is late
        found = check(connection, settings, "expired_locks")
    assert (found.status, found.count) == ((Health.DEGRADED, 1) if late_seconds > 0 else (Health.HEALTHY, 0))


@pytest.mark.parametrize(
    ("status", "seconds", "count"), [("unknown", 299, 0), ("unknown", 301, 1), ("intended", 301, 0)]
)
def test_a_payment_without_an_answer_has_five_minutes(
    engine: Engine, settings: Settings, status: str, seconds: int, count: int
) -> None:
    with pretend(engine) as connection:
        connection.execute(text(CHECKOUT), {"state": "running", "review": None, "seconds": 0})
        connection.execute(text(OPERATION), {"status": status, "seconds": seconds})
        found = check(connection, settings, "payments_unknown")
    assert (found.status, found.count) == (Health.DEGRADED if count else Health.HEALTHY, count)


@pytest.mark.parametrize(("hours", "status"), [(None, "healthy"), (119.9, "healthy"), (120.1, "degraded")])
def test_rates_that_are_all_too_old_degrade(
    engine: Engine, settings: Settings, hours: float | None, status: str
) -> None:
    rate = """
        INSERT INTO exchange_rates (base, quote, rate, source, observed_at)
        VALUES ('EUR', :quote, 1, 'ECB', now() - make_interval(secs => 3600 * :hours))
    """
    with pretend(engine) as connection:
        if hours is not None:
            connection.execute(text(rate), {"quote": "USD", "hours": hours})
            # One that the bank no longer quotes is no concern while others are.
            connection.execute(text(rate), {"quote": "RUB", "hours": 40_000})
        found = check(connection, settings.model_copy(update={"rate_max_age_hours": 120}), "exchange_rates")
    assert found.status.value == status
    assert found.count == (None if hours is None else round(hours * 3600))
    assert ("checkout catalog rates FILE" in found.message) == (status == "degraded")


def test_a_checkout_in_review_and_a_dead_lettered_webhook_degrade(engine: Engine, settings: Settings) -> None:
    with pretend(engine) as connection:
        for _ in range(2):
            connection.execute(text(CHECKOUT), {"state": "needs_review", "review": "{}", "seconds": 3600})
        connection.execute(
            text("""
                INSERT INTO webhook_deliveries (checkout_id, event_id, endpoint_id, status, due_at, ended_at)
                VALUES (gen_random_uuid(), 1, gen_random_uuid(), 'dead_lettered', NULL, now())
            """)
        )
        checks, _ = check_database(connection, settings, HEAD)
    found = {name: (each.status, each.count) for name, each in checks.items() if each.count}
    assert found == {"needs_review": (Health.DEGRADED, 2), "deliveries_dead_lettered": (Health.DEGRADED, 1)}


def test_a_query_that_hangs_is_reported_within_two_seconds(web_settings: Settings, engine: Engine) -> None:
    with open_web(web_settings) as client, engine.connect() as holder:
        # Given a transaction that locks a table
        holder.exec_driver_sql("LOCK TABLE checkouts IN ACCESS EXCLUSIVE MODE")
        # When
        began = time.monotonic()
        answer = client.get("/health/checkout")
        seconds = time.monotonic() - began
        holder.rollback()
    # Then
    assert (answer.status_code, answer.json()["checks"]["database"]["status"]) == (503, "unhealthy")
    assert seconds < 4
    assert "SELECT" not in answer.text
