"""`bench --only http`: a round of the engine, and the application written by hand that it is compared with."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from pipeline.saga import get_chain
from pipeline.settings import Settings
from scripts.benchmarks.http_floor import measure_http_floor
from scripts.benchmarks.over_http import measure_engine
from scripts.benchmarks.peers.web_floor import build_app, count_sold, create_shop
from scripts.benchmarks.runner import BenchmarkRunner
from scripts.environments.ending import Ending

MEASURED = ["per_second", "p50_ms", "p95_ms", "p99_ms", "cpu_ms"]


@pytest.fixture
def floor(engine: Engine, environment: dict[str, str]) -> Iterator[TestClient]:
    """The application written by hand, with two variants of three units each."""
    with engine.begin() as connection:
        create_shop(connection, 2, 3)
    with TestClient(build_app()) as client:
        yield client
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA floor CASCADE"))


def buy(floor: TestClient, key: str, **quantities: int) -> tuple[int, dict[str, Any]]:
    """Buy these quantities of the two variants; return the status and the body."""
    lines = [{"sku": f"bench-{sku.removeprefix('n')}", "quantity": quantity} for sku, quantity in quantities.items()]
    cart = {"id": str(uuid4()), "currency": "EUR", "lines": lines, "shipping_address": {"country": "GB"}}
    response = floor.post(
        "/checkout", json={"cart": cart, "payment": {"token": "tok"}}, headers={"Idempotency-Key": key}
    )
    return response.status_code, response.json()


def count(engine: Engine) -> tuple[int, int]:
    """Return the numbers of orders and of units sold."""
    with engine.connect() as connection:
        return count_sold(connection, 3)


def test_the_floor_sells_what_there_is(floor: TestClient, engine: Engine) -> None:
    status, answer = buy(floor, "a", n1=2, n2=1)
    assert (status, answer["state"], answer["total_minor"]) == (200, "completed", 3 * 1999)
    assert count(engine) == (1, 3)
    # When one of both variants has too few units, nothing changes.
    assert buy(floor, "b", n2=1, n1=2)[0] == 409
    assert count(engine) == (1, 3)
    assert buy(floor, "b", n1=1)[1]["state"] == "completed"
    assert count(engine) == (2, 4)


def test_the_floor_buys_once_for_a_key(floor: TestClient, engine: Engine) -> None:
    body = {
        "cart": {
            "id": str(uuid4()),
            "currency": "EUR",
            "lines": [{"sku": "bench-1", "quantity": 1}],
            "shipping_address": {},
        },
        "payment": {"token": "tok"},
    }
    first, second = (floor.post("/checkout", json=body, headers={"Idempotency-Key": "a"}) for _ in range(2))
    assert first.json() == second.json()
    assert buy(floor, "a", n1=1)[0] == 422
    assert count(engine) == (1, 1)


def test_the_smallest_round_of_the_floor(settings: Settings) -> None:
    with Ending() as ending:
        runner = BenchmarkRunner(settings, ending, size=1, is_quick=True)
        floor = dict(measure_http_floor(runner, 4, 2, buyers=2))
    assert list(floor) == [*MEASURED, "app_cpu_ms", "postgres_cpu_ms"]


def test_the_smallest_round_of_the_engine(settings: Settings) -> None:
    with Ending() as ending:
        runner = BenchmarkRunner(settings, ending, size=1, is_quick=True)
        engine = dict(measure_engine(runner, 4, buyers=2))
    kinds = [f"{kind}_cpu_ms" for kind in ("web", "postgres", "valkey", "calling", "phases")]
    assert list(engine) == [*MEASURED, *kinds, "batch", *(f"batch_{phase.name}" for phase in get_chain())]
    assert all(1 <= engine[f"batch_{phase.name}"] <= 2 for phase in get_chain())
    assert runner.violations == []
