"""One round of buyers over HTTP, whatever serves them: rates, durations, statements, commits, processor time."""

import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

import redis
from sqlalchemy import Engine

from scripts.benchmarks.buyers import Plan
from scripts.benchmarks.processor_time import Seconds, read_seconds
from scripts.benchmarks.runner import ROUND_SECONDS, BenchmarkRunner, Figures, Round
from scripts.benchmarks.statement_counts import begin_count
from scripts.environments.command_errors import CommandError
from scripts.environments.supervisor import Supervisor
from scripts.local_servers.embedded import ROOT

#: Processes whose time is shown together, by the name under which it is shown.
Kinds = Mapping[str, Collection[str]]

BUYERS: Final = "scripts.benchmarks.buyers"
#: Purchases by five buyers before a measurement: connections are open then, and statements planned.
WARM: Final = 50
QUICK_WARM: Final = 10


def warm_up(runner: BenchmarkRunner, own: Round, plan: Plan) -> int:
    """Buy in this shop before it is measured; return how many purchases were made."""
    purchases = QUICK_WARM if runner.is_quick else WARM
    run_buyers(runner, own, replace(plan, purchases=purchases, buyers=5))
    return purchases


def measure_buyers(
    runner: BenchmarkRunner,
    own: Round,
    supervisor: Supervisor,
    database: Engine,
    plan: Plan,
    kinds: Kinds,
    *,
    module: str = BUYERS,
) -> Figures:
    """Run the plan on what is already warm, and yield its figures; `module` is the program of the buyers."""
    with redis.Redis.from_url(own.settings.redis_url.get_secret_value()) as client:
        count = begin_count(database, runner.ending.sleep)
        before = read_seconds(supervisor, database, client)
        report = run_buyers(runner, own, plan, module=module)
        counts = {} if count is None else count.read()
        after = read_seconds(supervisor, database, client)
    yield from summarize_durations(report)
    yield from ((name, value / plan.purchases) for name, value in counts.items())
    yield from summarize_processes({name: after[name] - before.get(name, 0) for name in after}, plan.purchases, kinds)


def run_buyers(runner: BenchmarkRunner, own: Round, plan: Plan, *, module: str = BUYERS) -> dict[str, Any]:
    """Run the buyers to their end; raise CommandError when one did not get its order."""
    with subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
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


def summarize_durations(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the rate, and p50, p95 and p99 of the durations."""
    ordered = sorted(report["milliseconds"])
    yield "per_second", len(ordered) / report["seconds"]
    for share in (50, 95, 99):
        yield f"p{share}_ms", ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def summarize_processes(used: Seconds, purchases: int, kinds: Kinds) -> Iterator[tuple[str, float]]:
    """Yield milliseconds of processor time for each purchase: of all processes, and of each kind."""
    yield "cpu_ms", sum(used.values()) * 1000 / purchases
    for kind, names in kinds.items():
        yield f"{kind}_cpu_ms", sum(used.get(name, 0.0) for name in names) * 1000 / purchases
