"""Metrics: the engine's figures, and the requests of this process."""

import re
from datetime import timedelta

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from pipeline.operations import read_stats
from pipeline.operations.statistics import TOP_CODES, list_queues
from pipeline.security import Scope
from pipeline.settings import Settings
from tests.integration.workers.web.outages import NO_DATABASE, NO_REDIS, open_web
from tests.integration.workers.web.stage import Stage, pay, put_cart, start
from workers.broker.queue_stats import QueueFigures
from workers.overview import Readout
from workers.web.routes.metrics import HOURS, Figures


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples by name and labels; raises if the text is not Prometheus's."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_database(stage: Stage) -> None:
    # Given an order, a failure, and one that waits
    stage.shelf.add_variant("cup", stock=9, price_minor=250)
    client = stage.client()
    pay(client, {"cart_id": put_cart(client, ("cup", 1))})
    pay(client, {"cart_id": put_cart(client, ("cup", 1))}, token="tok_declined")
    start(client, put_cart(client, ("cup", 2)))
    client.get("/nowhere/at/all")
    client.get("/nor/here")
    for number in range(3):
        client.request(f"STRANGE{number}", "/checkout")
    stage.sweep()
    # When
    answer = stage.client(Scope.ADMIN).get("/metrics")
    # Then
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    found = read(answer.text)

    def value(name: str, **labels: str) -> float:
        return found[f"checkout_{name}", frozenset(labels.items())]

    states = {
        state: value("checkouts", state=state) for state in ("completed", "failed", "awaiting_payment", "running")
    }
    assert states == {"completed": 1, "failed": 1, "awaiting_payment": 1, "running": 0}
    assert value("failures", code="payment_declined") == 1
    assert (value("success_ratio"), value("reservations_held_units"), value("broker_up")) == (0.5, 2, 1)
    assert (value("messages_redelivered"), value("needs_review"), value("deliveries_dead_lettered")) == (0, 0, 0)
    assert 0 <= value("sweep_age_seconds") < 60
    assert {dict(labels)["queue"] for name, labels in found if name == "checkout_queue_waiting"} == set(list_queues())
    assert value("http_requests_total", route="/checkout", method="POST", status="402") >= 1
    assert value("http_requests_total", route="unknown", method="unknown", status="404") >= 2
    assert value("http_requests_total", route="/checkout", method="unknown", status="405") == 3
    assert not re.search("nowhere|STRANGE|/metrics|/health", answer.text)
    helps = re.findall(r"^# HELP (\S+) (.+)$", answer.text, re.MULTILINE)
    assert len(helps) == len(re.findall(r"^# TYPE ", answer.text, re.MULTILINE)) > 20


def test_without_redis_the_queues_are_missing(stage: Stage, web_settings: Settings) -> None:
    token = stage.token(Scope.ADMIN)
    with open_web(web_settings, redis=NO_REDIS) as client:
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    found = read(answer.text)
    assert (answer.status_code, found["checkout_broker_up", frozenset()]) == (200, 0)
    assert [name for name, _ in found if name == "checkout_queue_waiting"] == []


def test_without_postgresql_there_are_none(web_settings: Settings) -> None:
    with open_web(web_settings, database=NO_DATABASE) as client:
        answer = client.get("/metrics", headers={"Authorization": "Bearer ck_" + "a" * 12 + "_" + "b" * 43})
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")


@pytest.mark.parametrize("sweep_age", [None, 2.5])
def test_the_lines_of_a_reading(engine: Engine, settings: Settings, sweep_age: float | None) -> None:
    # Given an empty database, and two queues of which one has waited for four seconds
    with engine.connect() as connection:
        stats = read_stats(connection, settings, hours=HOURS)
    full = QueueFigures("checkout.intake", 3, 2, 1, stats.at - timedelta(seconds=4))
    idle = QueueFigures("checkout.unwind", 0, 0, 0, None)
    # When
    lines = generate_latest(Figures(Readout(stats, (full, idle), "sandbox"), sweep_age)).decode().splitlines()
    # Then
    assert [line for line in lines if line.startswith(("checkout_queue", "checkout_broker", "checkout_sweep"))] == [
        *([] if sweep_age is None else ["checkout_sweep_age_seconds 2.5"]),
        "checkout_broker_up 1.0",
        'checkout_queue_waiting{queue="checkout.intake"} 3.0',
        'checkout_queue_waiting{queue="checkout.unwind"} 0.0',
        'checkout_queue_in_flight{queue="checkout.intake"} 2.0',
        'checkout_queue_in_flight{queue="checkout.unwind"} 0.0',
        'checkout_queue_dead_lettered{queue="checkout.intake"} 1.0',
        'checkout_queue_dead_lettered{queue="checkout.unwind"} 0.0',
        'checkout_queue_oldest_seconds{queue="checkout.intake"} 4.0',
    ]
    # Nothing has ended: no rate and no duration, instead of one that was made up.
    assert not [line for line in lines if "success_ratio" in line or line.startswith("checkout_duration_seconds{")]


def test_codes_make_a_bounded_number_of_series(engine: Engine, settings: Settings) -> None:
    # Given more codes than are shown by name
    with engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("""
            INSERT INTO checkouts (id, cart_id, owner, currency, state, straight_through, expires_at, failure_code,
                                   ended_at)
            SELECT gen_random_uuid(), gen_random_uuid(), 'shop', 'EUR', 'failed', true, now(), 'code_' || n, now()
            FROM generate_series(1, 30) AS n
        """)
        figures = Figures(Readout(read_stats(connection, settings, hours=HOURS), None, "sandbox"), None)
        connection.rollback()
    # When
    found = read(generate_latest(figures).decode())
    # Then
    codes = {dict(labels)["code"]: value for (name, labels), value in found.items() if name == "checkout_failures"}
    assert (len(codes), codes["others"]) == (TOP_CODES + 1, 30 - TOP_CODES)
