"""Measures the engine beside stock dramatiq, in turn, on one machine: `checkout bench [--only PARTS]`.

On a shared machine compare the ratios of one run, not absolute figures. Throughput is measured over the makespan: from
the first commit of the first phase to the last completed checkout, with the whole backlog sent at once to running
workers. Latency is from start to completed, one checkout at a time. Every round of the engine ends with the audit.
"""

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts.benchmarks import rounds as bench_rounds
from scripts.benchmarks.floor import measure_floor
from scripts.benchmarks.idle import measure_idle
from scripts.benchmarks.over_http import measure_http
from scripts.benchmarks.peers_run import ENGINE, PEERS
from scripts.benchmarks.runner import GROWN, BenchmarkRunner, Figures
from scripts.benchmarks.rush import measure_rush
from scripts.benchmarks.stalls import Disturbance
from scripts.benchmarks.start import measure_start
from scripts.environments.command_errors import CommandError, explain_errors
from scripts.environments.ending import Ended, Ending
from scripts.local_servers.embedded import serve
from scripts.terminal.output import Screen, say, say_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Measure = Callable[[BenchmarkRunner], Figures]

#: Each part yields its figures one after another.
PARTS: Final[Mapping[str, Measure]] = {
    "throughput": bench_rounds.measure_throughput,
    "floor": measure_floor,
    "idle": measure_idle,
    "http": measure_http,
    "peers": partial(bench_rounds.measure_peers, names=tuple(PEERS)),
    "crashes": partial(bench_rounds.measure_crashes, names=(ENGINE, *PEERS)),
    "rush": measure_rush,
    "growth": bench_rounds.measure_growth,
    "memory": bench_rounds.measure_memory,
    "start": measure_start,
    "units": bench_rounds.measure_units,
    "stalls": bench_rounds.measure_stalls,
}
DEFAULT_PARTS: Final = ("throughput", "idle")
#: Ratios by name: numerator and denominator. Peers are compared with the engine at the same bank, which agrees at once.
RATIOS: Final[Mapping[str, tuple[str, str]]] = {
    "vs_empty_chain": ("uniform_per_second", "empty_per_second"),
    "without_ledger_vs_empty_chain": ("without_ledger_per_second", "empty_per_second"),
    "vs_plain": ("uniform_per_second", "plain_per_second"),
    "hot_vs_uniform": ("hot_per_second", "uniform_per_second"),
    **{f"vs_{name}": ("agreeing_per_second", f"{name}_per_second") for name in PEERS},
    "idle_vs_empty_chain": ("idle_ms", "empty_idle_ms"),
    "growth": ("grown_per_second", "per_second"),
    "sweep_growth": ("grown_sweep_ms", "sweep_ms"),
    "monitor_growth": ("grown_monitor_ms", "monitor_ms"),
    "list_growth": ("grown_list_ms", "list_ms"),
    "memory_growth": ("second_megabytes", "first_megabytes"),
    "two_units_vs_one": ("units_2_per_second", "units_1_per_second"),
    **{
        f"{each}_vs_alone": (f"p95_{each}_ms", f"p95_{Disturbance.NONE}_ms")
        for each in Disturbance
        if each is not Disturbance.NONE
    },
}


@app.command()
def main(
    *,
    only: Annotated[str, typer.Option(help=f"Comma-separated parts: {', '.join(PARTS)}.")] = ",".join(DEFAULT_PARTS),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each part.")] = 3,
    size: Annotated[int, typer.Option(min=1, help="Checkouts, and empty chains, in a round.")] = 3000,
    grown: Annotated[int, typer.Option(min=1, help="Finished checkouts of the part growth.")] = GROWN,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure the engine and its peers; exit 1 when an audit found a violation."""
    console = Screen(stderr=as_json)
    parts = _read_parts(only)
    try:
        with Ending() as ending, explain_errors(), serve() as settings:
            runner = BenchmarkRunner(settings, ending, size=size, grown=grown)
            figures = _run(runner, parts, rounds, console)
    except Ended as ended:
        console.print(str(ended))
        raise typer.Exit(ended.code) from None
    except CommandError as error:
        say(str(error), err=True)
        raise typer.Exit(2) from None
    medians = {name: statistics.median(values) for name, values in figures.items()}
    known = medians.keys()
    ratios = {name: medians[over] / medians[under] for name, (over, under) in RATIOS.items() if {over, under} <= known}
    _show(console, figures, ratios, runner.violations)
    if as_json:
        report = {
            "figures": figures,
            "medians": medians,
            "ratios": ratios,
            "idle_p50_ms": medians.get("idle_ms"),
            "audit_violations": len(runner.violations),
        }
        say_json(report)
    raise typer.Exit(1 if runner.violations else 0)


def _read_parts(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(PARTS)):
        raise typer.BadParameter(f"There is no part {', '.join(unknown)}; there are {', '.join(PARTS)}.")
    return names


def _run(runner: BenchmarkRunner, parts: list[str], rounds: int, console: Console) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        for number in range(1, rounds + 1):
            for part in parts:
                task = bar.add_task(f"round {number} of {rounds}: {part}", total=None)
                for name, value in PARTS[part](runner):
                    figures.setdefault(name, []).append(value)
                    console.print(f"round {number}/{rounds}  {name} {value:.2f}")
                bar.remove_task(task)
    return figures


def _show(console: Console, figures: dict[str, list[float]], ratios: dict[str, float], violations: list[str]) -> None:
    table = Table("figure", "median", "min", "max")
    for name, values in figures.items():
        table.add_row(name, *(f"{value:.2f}" for value in (statistics.median(values), min(values), max(values))))
    for name, ratio in ratios.items():
        table.add_row(name, f"{ratio:.3f}", "", "")
    console.print(table, *violations, f"audit violations: {len(violations)}")


if __name__ == "__main__":
    app()
