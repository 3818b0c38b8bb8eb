"""What a purchase costs over HTTP, in turn with the same purchases as a backlog and on an application written by hand.

So many buyers in a closed loop, then an open loop at half of what was reached. What is compared is measured one after
the other, so that a change of the machine's speed changes both.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Engine, text

from pipeline.saga import get_chain
from pipeline.saga.chain import GatewayPhase
from pipeline.security import Scope, create_key
from scripts.benchmarks.buyers import Plan
from scripts.benchmarks.http_floor import measure_http_floor
from scripts.benchmarks.http_round import Kinds, measure_buyers, warm_up
from scripts.benchmarks.idle import answers
from scripts.benchmarks.runner import BenchmarkRunner, Figures
from scripts.benchmarks.workload import OWNER, stock_variants
from scripts.environments.fleet import read_procfile
from scripts.local_servers.valkey import find_port

#: Purchases of a round for each number of buyers: enough for some seconds of each.
PURCHASES: Final[Mapping[int, int]] = {1: 100, 20: 600, 100: 1500, 500: 2500}
QUICK_PURCHASES: Final[Mapping[int, int]] = {1: 30, 20: 200}
VARIANTS: Final = 1000
#: The buyers beside whom the backlog is measured, who also buy in two steps, and whose rate the open loop halves.
COMPARED: Final = 100

#: Rows of one batch have one time: that of its transaction.
BATCHES: Final = text("""
    SELECT phase, avg(checkouts) AS size, count(*) AS batches FROM (
        SELECT phase, count(*) AS checkouts FROM events
        WHERE kind = 'checkout.phase_completed' AND at >= :since GROUP BY phase, at
    ) AS each GROUP BY phase
""")
NOW: Final = text("SELECT clock_timestamp()")


def measure_http(runner: BenchmarkRunner) -> Figures:
    """Yield rates, durations, statements and processor time of purchases over HTTP, and what they are compared with."""
    rates: dict[int, float] = {}
    for buyers, purchases in (QUICK_PURCHASES if runner.is_quick else PURCHASES).items():
        if buyers == COMPARED:
            yield "uniform_per_second", runner.measure_rate()
        for name, value in measure_engine(runner, purchases, buyers=buyers):
            rates |= {buyers: value} if name == "per_second" else {}
            yield f"http_{buyers}_{name}", value
        for name, value in measure_http_floor(runner, purchases, VARIANTS, buyers=buyers):
            yield f"http_floor_{buyers}_{name}", value
    if COMPARED in rates:
        for name, value in measure_engine(runner, PURCHASES[COMPARED], buyers=COMPARED, steps=2):
            yield f"http_two_steps_{COMPARED}_{name}", value
        for name, value in measure_engine(runner, PURCHASES[COMPARED], per_second=rates[COMPARED] / 2):
            yield f"http_open_{name}", value


def measure_engine(runner: BenchmarkRunner, purchases: int, *, kinds: Kinds | None = None, **how: Any) -> Figures:
    """Yield the figures of one round of the engine, with processor time by these kinds of processes."""
    port = find_port()
    with runner.open(web_port=port, web_writes_per_minute=10_000_000) as own:
        database = own.build().database
        stock_variants(database, VARIANTS, purchases + 100)
        with database.begin() as connection:
            _, api_key = create_key(connection, owner=OWNER, name="bench", scopes=[Scope.CHECKOUT])
        supervisor = own.serve(read_procfile(with_web=True))
        runner.wait(partial(answers, port))
        warm_up(runner, own, Plan(port, api_key, purchases, VARIANTS))
        with database.connect() as connection:
            since = connection.execute(NOW).scalar_one()
        plan = Plan(port, api_key, purchases, VARIANTS, **how)
        yield from measure_buyers(runner, own, supervisor, database, plan, kinds or list_kinds())
        yield from measure_batches(database, since)


def list_kinds() -> Kinds:
    """Return the kinds of the engine's processes; the phases that call the gateway are one, the others another."""
    calling = [phase.name for phase in get_chain() if isinstance(phase.work, GatewayPhase)]
    others = [phase.name for phase in get_chain() if phase.name not in calling]
    servers = {name: [name] for name in ("web", "postgres", "valkey")}
    return {**servers, "calling": calling, "phases": others}


def measure_batches(database: Engine, since: datetime) -> Figures:
    """Yield how many checkouts a batch had since then: in all phases, and in each."""
    with database.connect() as connection:
        found = {row.phase: row for row in connection.execute(BATCHES, {"since": since})}
    yield "batch", float(sum(row.size * row.batches for row in found.values()) / sum(r.batches for r in found.values()))
    for phase in get_chain():
        yield f"batch_{phase.name}", float(found[phase.name].size)
