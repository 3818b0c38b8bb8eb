"""Measures the engine beside stock dramatiq, in turn, on one machine: `python scripts/bench.py [--only PARTS]`.

Absolute figures mean little on a shared machine; the ratios of one run do. Throughput is makespan: from the first
phase-1 commit to the last checkout done, the backlog sent at once to workers that are up. Latency is from start to
completed, one at a time. Every round of the engine ends with the audit.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from pipeline.audit import take_report
from pipeline.settings import Settings
from scripts.bench_stalls import Disturbance, measure, prepare
from scripts.embedded import serve
from scripts.empty_chain import EmptyChain
from scripts.ending import Ended, Ending
from scripts.fleet import FleetLog, run_fleet
from scripts.obstacles import Obstacle, explain_obstacles
from scripts.scratch import open_scratch
from scripts.workload import fill_carts, read_makespan, start_all, start_checkout, stock_shelf
from workers.engine import CheckoutEngine, build_engine

T = TypeVar("T")

#: What people run: two processes of eight threads, all queues.
EMPTY_LINE: Final = {"empty": "dramatiq scripts.empty_chain:build_broker -p 2 -t 8"}
#: Purchases of one idle round: enough for a median, and a stock chain takes up to four seconds each.
IDLE_COUNT: Final = 15
#: What a provider takes for one answer, and purchases enough to keep its calls busy for half a minute.
BANK_SECONDS: Final = 0.3
UNITS_SIZE: Final = 1500
#: A round that takes longer is stuck.
ROUND_SECONDS: Final = 180
LOOK_SECONDS: Final = 0.02

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Bench:
    """One run: rounds in turn, each in a database of its own on fresh worker processes."""

    def __init__(self, settings: Settings, ending: Ending, *, size: int) -> None:
        """Measure `size` checkouts a round."""
        self.settings = settings.model_copy(update={"log_level": "warning"})
        self.ending, self.size = ending, size
        self.violations = 0

    def measure_engine(
        self, variants: int, *, scale: Mapping[str, int] | None = None, size: int | None = None, **changes: object
    ) -> float:
        """Return checkouts a second of the whole engine, with more units of some lines, on other settings."""
        count = size or self.size
        with self._scratch(**changes) as (settings, stack, log):
            engine = build_engine(settings, "bench")
            stack.callback(engine.close)
            stock_shelf(engine.database, variants, count)
            sends = start_all(engine, fill_carts(engine.database, count, variants))
            stack.enter_context(run_fleet(settings, log, self.ending, scale=scale))
            engine.driver.sender.send(sends)
            seconds = self._wait(lambda: read_makespan(engine.database))
            self._audit(settings)
            return count / seconds

    def measure_units(self, units: int) -> float:
        """Return checkouts a second with so many units of the two phases that wait for a bank which takes its time."""
        scale = {"payment_authorization": units, "payment_capture": units}
        return self.measure_engine(10_000, scale=scale, size=UNITS_SIZE, sandbox_latency_seconds=BANK_SECONDS)

    def measure_idle(self) -> float:
        """Return the median milliseconds of one checkout at a time."""
        with self._scratch() as (settings, stack, log):
            engine = build_engine(settings, "bench")
            stack.callback(engine.close)
            stock_shelf(engine.database, 10, IDLE_COUNT)
            carts = fill_carts(engine.database, IDLE_COUNT, 10)
            stack.enter_context(run_fleet(settings, log, self.ending))
            times = []
            for cart_id in carts:
                checkout_id = start_checkout(engine, cart_id)
                times.append(self._wait(partial(_read_milliseconds, engine, checkout_id)))
            self._audit(settings)
            return statistics.median(times)

    def measure_stall(self, disturbance: Disturbance) -> float:
        """Return the 95th percentile of buyers' durations, in milliseconds, while one in forty disturbs."""
        with self._scratch() as (settings, stack, log):
            engine = build_engine(settings, "bench")
            stack.callback(engine.close)
            carts = prepare(engine, disturbance)
            stack.enter_context(run_fleet(settings, log, self.ending))
            p95 = measure(engine, carts, disturbance, self.ending)
            self._audit(settings)
            return p95

    def measure_empty(self) -> float:
        """Return chains a second of stock dramatiq with empty actors."""
        with self._scratch() as (settings, stack, log):
            chain = EmptyChain(settings)
            stack.callback(chain.close)
            stack.enter_context(run_fleet(settings, log, self.ending, lines=EMPTY_LINE))
            chain.send(self.size)
            return self.size / self._wait(lambda: chain.read_makespan(self.size))

    def measure_empty_idle(self) -> float:
        """Return the median milliseconds of one empty chain at a time."""
        with self._scratch() as (settings, stack, log):
            chain = EmptyChain(settings)
            stack.callback(chain.close)
            stack.enter_context(run_fleet(settings, log, self.ending, lines=EMPTY_LINE))
            times = []
            for count in range(1, IDLE_COUNT + 1):
                sent_at = time.time()
                chain.send(1)
                ended_at = self._wait(partial(chain.read_end, count))
                times.append((ended_at - sent_at) * 1000)
            return statistics.median(times)

    @contextmanager
    def _scratch(self, **changes: object) -> Iterator[tuple[Settings, ExitStack, FleetLog]]:
        with ExitStack() as stack:
            settings = stack.enter_context(open_scratch(self.settings.model_copy(update=changes), "bench"))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="checkout-bench-"))
            log = FleetLog(Path(folder) / "workers.log")
            stack.callback(log.close)
            yield settings, stack, log

    def _audit(self, settings: Settings) -> None:
        engine = build_engine(settings, "audit")
        try:
            with engine.database.connect() as connection:
                self.violations += len(take_report(connection, settings).violations)
        finally:
            engine.close()

    def _wait(self, look: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + ROUND_SECONDS
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise Obstacle(f"A round was not over after {ROUND_SECONDS} s.")
            self.ending.sleep(LOOK_SECONDS)
        return found


def _read_milliseconds(engine: CheckoutEngine, checkout_id: UUID) -> float | None:
    status = engine.door.status(checkout_id=checkout_id)
    return None if status.ended_at is None else (status.ended_at - status.created_at).total_seconds() * 1000


#: Figures of each part, measured in turn.
PARTS: Final[Mapping[str, Mapping[str, Callable[[Bench], float]]]] = {
    "throughput": {
        "uniform_per_second": lambda bench: bench.measure_engine(10_000),
        "empty_per_second": Bench.measure_empty,
        "hot_per_second": lambda bench: bench.measure_engine(1),
    },
    "idle": {"idle_ms": Bench.measure_idle, "empty_idle_ms": Bench.measure_empty_idle},
    "units": {f"units_{units}_per_second": partial(Bench.measure_units, units=units) for units in (1, 2)},
    "stalls": {f"p95_{each}_ms": partial(Bench.measure_stall, disturbance=each) for each in Disturbance},
}
DEFAULT_PARTS: Final = ("throughput", "idle")
#: Ratios by name: which figure over which.
RATIOS: Final[Mapping[str, tuple[str, str]]] = {
    "vs_empty_chain": ("uniform_per_second", "empty_per_second"),
    "two_units_vs_one": ("units_2_per_second", "units_1_per_second"),
    "hot_vs_uniform": ("hot_per_second", "uniform_per_second"),
    "idle_vs_empty_chain": ("idle_ms", "empty_idle_ms"),
    **{
        f"{each}_vs_alone": (f"p95_{each}_ms", f"p95_{Disturbance.NOBODY}_ms")
        for each in Disturbance
        if each is not Disturbance.NOBODY
    },
}


@app.command()
def main(
    *,
    only: Annotated[str, typer.Option(help=f"Comma-separated parts: {', '.join(PARTS)}.")] = ",".join(DEFAULT_PARTS),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each part, in turn.")] = 3,
    size: Annotated[int, typer.Option(min=1, help="Checkouts, and empty chains, a round.")] = 3000,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure; exit 1 when an audit found a violation."""
    console = Console(stderr=as_json, highlight=False)
    parts = _read_parts(only)
    try:
        with Ending() as ending, explain_obstacles(), serve() as settings:
            bench = Bench(settings, ending, size=size)
            figures = _run(bench, parts, rounds, console)
    except Ended as ended:
        console.print(str(ended))
        raise typer.Exit(ended.code) from None
    except Obstacle as obstacle:
        typer.echo(str(obstacle), err=True)
        raise typer.Exit(2) from None
    medians = {name: statistics.median(values) for name, values in figures.items()}
    known = medians.keys()
    ratios = {name: medians[over] / medians[under] for name, (over, under) in RATIOS.items() if {over, under} <= known}
    _show(console, figures, ratios, bench.violations)
    if as_json:
        report = {"figures": figures, "medians": medians, "ratios": ratios, "audit_violations": bench.violations}
        typer.echo(json.dumps(report))
    raise typer.Exit(1 if bench.violations else 0)


def _read_parts(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(PARTS)):
        raise typer.BadParameter(f"There is no part {', '.join(unknown)}; there are {', '.join(PARTS)}.")
    return names


def _run(bench: Bench, parts: list[str], rounds: int, console: Console) -> dict[str, list[float]]:
    measures = {name: take for part in parts for name, take in PARTS[part].items()}
    figures: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(1, rounds + 1):
        for name, take in measures.items():
            figures[name].append(take(bench))
            console.print(f"round {number}/{rounds}  {name} {figures[name][-1]:.1f}")
    return figures


def _show(console: Console, figures: dict[str, list[float]], ratios: dict[str, float], violations: int) -> None:
    table = Table("figure", "median", "min", "max")
    for name, values in figures.items():
        table.add_row(name, *(f"{value:.1f}" for value in (statistics.median(values), min(values), max(values))))
    for name, ratio in ratios.items():
        table.add_row(name, f"{ratio:.3f}", "", "")
    console.print(table, f"audit violations: {violations}")


if __name__ == "__main__":
    app()
