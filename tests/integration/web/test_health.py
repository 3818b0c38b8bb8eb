"""Health: what is wrong is told at once, to anybody, and nothing else is."""

import time
from typing import Any

import pytest
from sqlalchemy import make_url

from pipeline.settings import Settings
from tests.integration.web.outages import NO_REDIS, NOBODY, listen_and_say_nothing, open_edge
from tests.integration.web.stage import Stage, put_cart, start

NAMES = [
    "database",
    "migrations",
    "expired_locks",
    "stuck_checkouts",
    "sweep_age",
    "payments_unknown",
    "webhooks_not_taken",
    "needs_review",
    "broker",
]


def look(stage: Stage) -> tuple[int, dict[str, Any]]:
    """Ask without a key, once the last answer is not shared any more."""
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
    # When nobody has swept for minutes
    run("UPDATE heartbeats SET at = now() - interval '3 min'")
    assert look(stage)[0] == 503
    # Finally, let go of what was made up
    run("DELETE FROM payment_operations")
    run("DELETE FROM payments")
    run("UPDATE checkouts SET due_at = NULL, due_reason = NULL WHERE id = :id", id=second)
    for each in (first, second):
        client.post("/checkout/cancel", json={"checkout_id": each}, headers={"Prefer": "wait=5"})


def test_a_schema_of_another_day_is_unhealthy(stage: Stage) -> None:
    stage.shelf.run("UPDATE heartbeats SET at = now()")
    stage.shelf.run("UPDATE alembic_version SET version_num = '0001'")
    try:
        status, body = look(stage)
    finally:
        stage.shelf.run("UPDATE alembic_version SET version_num = '0004'")
    assert (status, body["status"], body["checks"]["migrations"]["status"]) == (503, "unhealthy", "unhealthy")


@pytest.mark.parametrize("mute", [False, True], ids=["refused", "silent"])
def test_without_postgresql_it_is_unhealthy_within_two_seconds(edge_settings: Settings, *, mute: bool) -> None:
    with listen_and_say_nothing() as port:
        database = f"postgresql://somebody:secret-word@127.0.0.1:{port}/shop" if mute else NOBODY
        with open_edge(edge_settings, database=database) as client:
            began = time.monotonic()
            answers = [client.get("/health/checkout") for _ in range(3)]
            seconds = time.monotonic() - began
    bodies = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert {name: check["status"] for name, check in bodies[0]["checks"].items()} == {
        "database": "unhealthy",
        "broker": "healthy",
    }
    # One look for all three.
    assert seconds < 4
    assert len({body["timestamp"] for body in bodies}) == 1
    assert not any(word in answers[0].text for word in ("127.0.0.1", "secret-word", "somebody", "psycopg"))


def test_without_redis_it_is_degraded(stage: Stage, edge_settings: Settings) -> None:
    stage.sweep()
    with open_edge(edge_settings, redis=NO_REDIS) as client:
        answer = client.get("/health/checkout")
    wrong = {name for name, check in answer.json()["checks"].items() if check["status"] != "healthy"}
    assert (answer.status_code, answer.json()["status"], wrong) == (200, "degraded", {"broker"})


def test_a_database_without_tables_says_what_to_do(stage: Stage, edge_settings: Settings) -> None:
    own = edge_settings.database_url.get_secret_value()
    empty = make_url(own).set(database="template1").render_as_string(hide_password=False)
    with open_edge(edge_settings, database=empty) as client:
        answer = client.get("/health/checkout")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"]["message"].endswith("run `alembic upgrade head`.")


def test_many_at_once_are_one_look(stage: Stage) -> None:
    time.sleep(1.05)
    bodies = [stage.client(token="none").get("/health/checkout").json() for _ in range(20)]
    assert len({body["timestamp"] for body in bodies}) <= 2
