"""The duration of one checkout on an idle system: by a message, over HTTP, and an empty chain for comparison."""

import statistics
import time
from functools import partial
from typing import Final
from uuid import UUID

import requests

from pipeline.security import Scope, create_key
from scripts.benchmarks.empty_chain import EmptyChain
from scripts.benchmarks.floor import EMPTY_LINE
from scripts.benchmarks.runner import BenchmarkRunner, Figures
from scripts.benchmarks.statement_counts import begin_count
from scripts.benchmarks.workload import OWNER, TOKEN, fill_carts, start_checkout, stock_variants
from scripts.environments.command_errors import CommandError
from scripts.environments.fleet import read_procfile
from scripts.local_servers.valkey import find_port
from workers.bootstrap import Components

#: Purchases of one round; an empty chain of stock dramatiq takes up to four seconds.
IDLE_COUNT: Final = 100
EMPTY_IDLE_COUNT: Final = 25
QUICK_COUNT: Final = 20
QUICK_EMPTY_COUNT: Final = 3
#: The duration comes from the database. Fifty reads a second would distort it, with 2 ms each.
IDLE_POLL_SECONDS: Final = 0.2


def measure_idle(runner: BenchmarkRunner) -> Figures:
    """Yield durations of one checkout at a time: by a message, over HTTP with its statements, and of an empty chain."""
    count = QUICK_COUNT if runner.is_quick else IDLE_COUNT
    with runner.open(web_port=find_port(), web_writes_per_minute=1_000_000) as own:
        components, port = own.build(), own.settings.web_port
        stock_variants(components.database, 10, 2 * count)
        carts = fill_carts(components.database, 2 * count, 10)
        with components.database.begin() as connection:
            _, key = create_key(connection, owner=OWNER, name="bench", scopes=[Scope.CHECKOUT])
        own.serve(read_procfile(with_web=True))
        times = []
        for cart_id in carts[:count]:
            checkout_id = start_checkout(components, cart_id)
            check = partial(read_milliseconds, components, checkout_id)
            times.append(runner.wait(check, every_seconds=IDLE_POLL_SECONDS))
        yield from _rank("idle", times)
        runner.wait(partial(answers, port))
        counting = begin_count(components.database, runner.ending.sleep)
        yield from _rank("http", [_buy(port, key, cart_id) for cart_id in carts[count:]])
        for name, value in (counting.read() if counting is not None else {}).items():
            yield f"http_{name}", value / count
    yield "empty_idle_ms", _measure_empty(runner)


def read_milliseconds(components: Components, checkout_id: UUID) -> float | None:
    """Return the duration of a checkout, None while it is under way."""
    status = components.service.status(checkout_id=checkout_id)
    return None if status.ended_at is None else (status.ended_at - status.created_at).total_seconds() * 1000


def _measure_empty(runner: BenchmarkRunner) -> float:
    """Return the median milliseconds of one empty chain at a time."""
    with runner.open(audited=False) as own:
        chain = EmptyChain(own.settings)
        own.at_end(chain.close)
        own.serve(EMPTY_LINE)
        times = []
        for count in range(1, (QUICK_EMPTY_COUNT if runner.is_quick else EMPTY_IDLE_COUNT) + 1):
            sent_at = time.time()
            chain.send(1)
            ended_at = runner.wait(partial(chain.read_end, count))
            times.append((ended_at - sent_at) * 1000)
        return statistics.median(times)


def answers(port: int) -> bool | None:
    """Return True once the HTTP process answers, None before."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/checkout", timeout=5).status_code < 500 or None
    except requests.RequestException:
        return None


def _buy(port: int, key: str, cart_id: UUID) -> float:
    """Return the milliseconds until a buyer over HTTP has an order."""
    began = time.perf_counter()
    response = requests.post(
        f"http://127.0.0.1:{port}/checkout",
        json={"cart_id": str(cart_id), "payment": {"token": TOKEN}},
        headers={"Authorization": f"Bearer {key}", "Idempotency-Key": str(cart_id), "Prefer": "wait=30"},
        timeout=40,
    )
    if response.status_code not in (200, 201) or response.json().get("state") != "completed":
        raise CommandError(f"A purchase over HTTP was answered with {response.status_code}: {response.text[:300]}")
    return (time.perf_counter() - began) * 1000


def _rank(name: str, times: list[float]) -> Figures:
    ordered = sorted(times)
    yield f"{name}_ms", statistics.median(ordered)
    yield f"{name}_p99_ms", ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
