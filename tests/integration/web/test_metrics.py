"""Metrics: the engine's figures, and what this process has answered."""

import re

from prometheus_client.parser import text_string_to_metric_families

from pipeline.keys import Scope
from pipeline.settings import Settings
from pipeline.stats import QUEUES
from tests.integration.web.outages import NO_REDIS, NOBODY, open_edge
from tests.integration.web.stage import Stage, pay, put_cart, start


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
    assert (value("messages_resent"), value("needs_review"), value("deliveries_dead")) == (0, 0, 0)
    assert {dict(labels)["queue"] for name, labels in found if name == "checkout_queue_waiting"} == set(QUEUES)
    assert value("http_requests_total", route="/checkout", method="POST", status="402") >= 1
    assert value("http_requests_total", route="unknown", method="unknown", status="404") >= 2
    assert not re.search("nowhere|/metrics|/health", answer.text)
    helps = re.findall(r"^# HELP (\S+) (.+)$", answer.text, re.MULTILINE)
    assert len(helps) == len(re.findall(r"^# TYPE ", answer.text, re.MULTILINE)) > 20


def test_without_redis_the_queues_are_missing(stage: Stage, edge_settings: Settings) -> None:
    token = stage.token(Scope.ADMIN)
    with open_edge(edge_settings, redis=NO_REDIS) as client:
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    found = read(answer.text)
    assert (answer.status_code, found["checkout_broker_up", frozenset()]) == (200, 0)
    assert [name for name, _ in found if name == "checkout_queue_waiting"] == []


def test_without_postgresql_there_are_none(edge_settings: Settings) -> None:
    with open_edge(edge_settings, database=NOBODY) as client:
        answer = client.get("/metrics", headers={"Authorization": "Bearer ck_" + "a" * 12 + "_" + "b" * 43})
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
