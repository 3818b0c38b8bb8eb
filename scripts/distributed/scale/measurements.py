"""Measures the engine on one, two and four worker hosts, and with no, a local and a far synchronous standby.

All hosts are namespaces of one machine, and share its cores: more hosts bring more calls in flight, and no processor.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import requests

from pipeline.security import Scope, create_key
from scripts.benchmarks.buyers import Plan
from scripts.benchmarks.http_round import BUYERS as BUYERS_PROGRAM
from scripts.benchmarks.http_round import summarize_durations
from scripts.benchmarks.runner import BenchmarkRunner, Figures
from scripts.benchmarks.workload import OWNER
from scripts.distributed.layout import WEB_PORT
from scripts.distributed.scale.rig import ADDRESSES, VARIANTS, WORKER_HOSTS, Rig, Standby, open_rig, run_buyers
from scripts.distributed.state import open_session
from scripts.environments.command_errors import CommandError

#: A provider's latency.
BANK_SECONDS: Final = 0.3
HOSTS: Final = (1, 2, 4)
#: In each direction: a standby in another place of the same region.
FAR_SECONDS: Final = 0.0025
#: Buyers in a closed loop, and their purchases.
BUYERS: Final = 20
PURCHASES: Final = 400
WARM: Final = 50


def measure_hosts(runner: BenchmarkRunner) -> Figures:
    """Yield rates of a backlog at a slow bank, with worker processes on one, two and four hosts."""
    with open_rig(runner.ending, bank_seconds=BANK_SECONDS) as rig:
        for count in HOSTS:
            rig.run_workers(count)
            # Connections are open then, and statements planned.
            rig.measure_backlog(WARM * count)
            yield f"hosts_{count}_per_second", rig.measure_backlog(runner.size)
        runner.audit(rig.settings)


def measure_standbys(runner: BenchmarkRunner) -> Figures:
    """Yield rates of a backlog, and rates and durations over HTTP, with no, a local and a far synchronous standby.

    Both standbys follow all the time: what changes is only which of them a commit waits for.
    """
    with open_rig(runner.ending, far_seconds=FAR_SECONDS) as rig:
        with rig.components.database.begin() as connection:
            _, token = create_key(connection, owner=OWNER, name="bench", scopes=[Scope.CHECKOUT])
        rig.run_workers(1, with_web=True)
        rig.wait(lambda: _answers(WORKER_HOSTS[0]), "the HTTP edge does not answer")
        rig.measure_backlog(WARM)
        _buy(rig, Plan(WEB_PORT, token, WARM, VARIANTS, buyers=5))
        for standby in list_in_turn(runner):
            rig.choose_standby(standby)
            yield f"standby_{standby}_backlog_per_second", rig.measure_backlog(runner.size)
            for name, value in _buy(rig, Plan(WEB_PORT, token, PURCHASES, VARIANTS, buyers=BUYERS)):
                yield f"standby_{standby}_http_{name}", value
        rig.choose_standby(Standby.NONE)
        runner.audit(rig.settings)


def list_in_turn(runner: BenchmarkRunner) -> Sequence[Standby]:
    """Return the standbys; both ways, so that a machine that gets slower within a round favours none of them."""
    forward = list(Standby)
    return forward if runner.is_quick else [*forward, *reversed(forward)]


def _buy(rig: Rig, plan: Plan) -> list[tuple[str, float]]:
    report = json.loads(run_buyers(rig, json.dumps(asdict(plan)), BUYERS_PROGRAM))
    if report["others"]:
        raise CommandError(f"Purchases over HTTP had no order: {report['others']}.")
    return list(summarize_durations(report))


def _answers(host: str) -> bool:
    try:
        with open_session() as session:
            return session.get(f"http://{ADDRESSES[host]}:{WEB_PORT}/health/checkout", timeout=5).status_code == 200
    except requests.RequestException:
        return False
