"""What a purchase costs over HTTP: so many buyers in a closed loop, then an open loop at half of what was reached."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import redis
from sqlalchemy import Engine, text

from pipeline.saga import get_chain
from pipeline.saga.chain import GatewayPhase
from pipeline.security import Scope, create_key
from scripts.benchmarks.buyers import Plan
from scripts.benchmarks.idle import answers
from scripts.benchmarks.processor_time import Seconds, read_seconds
from scripts.benchmarks.runner import ROUND_SECONDS, BenchmarkRunner, Figures, Round
from scripts.benchmarks.workload import OWNER, stock_variants
from scripts.environments.command_errors import CommandError
from scripts.environments.fleet import read_procfile
from scripts.environments.supervisor import Supervisor
from scripts.local_servers.embedded import ROOT
from scripts.local_servers.valkey import find_port

BUYERS: Final = (1, 20, 100, 500)
#: Purchases of a round: enough for some seconds of each.
PURCHASES: Final[Mapping[int, int]] = {1: 100, 20: 600, 100: 1500, 500: 2500}
VARIANTS: Final = 1000
#: The buyers whose rate the open loop halves.
OPEN_AS: Final = 100

#: Rows of one batch have one time: that of its transaction.
BATCHES: Final = text("""
    SELECT avg(checkouts) FROM (
        SELECT count(*) AS checkouts FROM events WHERE kind = 'checkout.phase_completed' GROUP BY phase, at
    ) AS batches
""")
COMMITS: Final = text("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")


def measure_http(runner: BenchmarkRunner) -> Figures:
    """Yield rates, durations and processor time of purchases over HTTP."""
    rates: dict[int, float] = {}
    for buyers in BUYERS:
        for name, value in measure(runner, PURCHASES[buyers], buyers=buyers):
            rates |= {buyers: value} if name == "per_second" else {}
            yield f"http_{buyers}_{name}", value
    for name, value in measure(runner, PURCHASES[OPEN_AS], buyers=OPEN_AS, steps=2):
        yield f"http_two_steps_{OPEN_AS}_{name}", value
    for name, value in measure(runner, PURCHASES[OPEN_AS], per_second=rates[OPEN_AS] / 2):
        yield f"http_open_{name}", value


def measure(runner: BenchmarkRunner, purchases: int, **how: Any) -> Figures:
    """Yield the figures of one round."""
    port = find_port()
    with runner.open(web_port=port, web_writes_per_minute=10_000_000) as own:
        components = own.build()
        stock_variants(components.database, VARIANTS, purchases + 100)
        with components.database.begin() as connection:
            _, api_key = create_key(connection, owner=OWNER, name="bench", scopes=[Scope.CHECKOUT])
        supervisor = own.serve(read_procfile(with_web=True))
        runner.wait(partial(answers, port))
        plan = Plan(port, api_key, purchases, VARIANTS, **how)
        warm = Plan(port, api_key, 50, VARIANTS, buyers=5)
        run_buyers(runner, own, warm)
        with redis.Redis.from_url(own.settings.redis_url.get_secret_value()) as client:
            before = read_costs(supervisor, components.database, client)
            report = run_buyers(runner, own, plan)
            after = read_costs(supervisor, components.database, client)
        yield from summarize(plan, report, {name: after[name] - before.get(name, 0) for name in after})
        with components.database.connect() as connection:
            yield "batch", float(connection.execute(BATCHES).scalar_one())


def read_costs(supervisor: Supervisor, database: Engine, client: redis.Redis) -> Seconds:
    """Return the processor time so far, and the transactions."""
    with database.connect() as connection:
        commits = float(connection.execute(COMMITS).scalar_one())
    return {**read_seconds(supervisor, database, client), "commits": commits}


def run_buyers(runner: BenchmarkRunner, own: Round, plan: Plan) -> dict[str, Any]:
    """Run the buyers to their end; raise CommandError when one did not get its order."""
    command = [sys.executable, "-m", "scripts.benchmarks.buyers"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            output, errors = process.communicate(json.dumps(asdict(plan)), timeout=ROUND_SECONDS)
        except subprocess.TimeoutExpired:
            raise CommandError(f"The buyers were not done after {ROUND_SECONDS} s.") from None
        finally:
            process.kill()
    runner.ending.sleep(0)
    if process.returncode != 0:
        raise CommandError(f"The buyers ended with {process.returncode}: {errors.strip()[-500:]}")
    report: dict[str, Any] = json.loads(output)
    if report["others"]:
        raise CommandError(f"Purchases over HTTP had no order: {report['others']}; {' '.join(own.log.tail)[-500:]}")
    return report


def summarize(plan: Plan, report: Mapping[str, Any], used: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield what is told of one round; processor time in milliseconds for each purchase."""
    ordered = sorted(report["milliseconds"])
    yield "per_second", len(ordered) / report["seconds"]
    for share in (50, 95, 99):
        yield f"p{share}_ms", ordered[min(len(ordered) - 1, len(ordered) * share // 100)]
    yield "commits", used["commits"] / plan.purchases
    calling = {phase.name for phase in get_chain() if isinstance(phase.work, GatewayPhase)}
    milliseconds = {name: 1000 * value / plan.purchases for name, value in used.items() if name != "commits"}
    yield "cpu_ms", sum(milliseconds.values())
    for name in ("web", "postgres", "valkey"):
        yield f"{name}_cpu_ms", milliseconds.get(name, 0.0)
    yield "calling_cpu_ms", sum(value for name, value in milliseconds.items() if name in calling)
    phases = {phase.name for phase in get_chain()} - calling
    yield "phases_cpu_ms", sum(value for name, value in milliseconds.items() if name in phases)
