"""Measures the engine beside stock dramatiq, in turn, on one machine: `checkout bench [--only PARTS]`.

On a shared machine compare the ratios of one run, not absolute figures. Throughput is measured over the makespan: from
the first commit of the first phase to the last completed checkout, with the whole backlog sent at once to running
workers. Latency is from start to completed, one checkout at a time. Every round of the engine ends with the audit.

Exit codes: 0 measured and audits clean; 1 an audit found a violation; 2 nothing was measured, the reason is said.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts.benchmarks import rounds as bench_rounds
from scripts.benchmarks.costs import measure_costs
from scripts.benchmarks.floor import measure_floor
from scripts.benchmarks.idle import measure_idle
from scripts.benchmarks.machine_speed import measure_speed, warn
from scripts.benchmarks.over_http import measure_http
from scripts.benchmarks.peers.vendure import packages
from scripts.benchmarks.peers_run import ENGINE, PEERS
from scripts.benchmarks.report import Report
from scripts.benchmarks.runner import GROWN, BenchmarkRunner, Figures
from scripts.benchmarks.rush import measure_rush
from scripts.benchmarks.start import measure_start
from scripts.benchmarks.svg_plot import collect, draw
from scripts.benchmarks.vendure_run import measure_vendure
from scripts.distributed.scale.measurements import measure_hosts, measure_standbys
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
    "costs": measure_costs,
    "units": bench_rounds.measure_units,
    "stalls": bench_rounds.measure_stalls,
    "vendure": measure_vendure,
    "hosts": measure_hosts,
    "standbys": measure_standbys,
}
DEFAULT_PARTS: Final = "throughput,idle"
QUICK_PARTS: Final = "throughput,idle,http"
#: Enough for a few full batches of each phase.
QUICK_SIZE: Final = 500
QUICK_NOTE: Final = "This run was quick: its figures are rough, because each comes from one small round."
#: What a part needs and a checkout of the code does not bring.
PREPARATIONS: Final[Mapping[str, Callable[[Callable[[str], object]], None]]] = {"vendure": packages.install}
#: The parts that measure buyers, which `--plot` draws.
PLOTTED: Final = frozenset({"http", "vendure"})


@dataclass(frozen=True, slots=True)
class Choice:
    """What is measured."""

    parts: list[str]
    rounds: int
    size: int
    is_quick: bool


@app.command()
def main(
    *,
    only: Annotated[
        str | None, typer.Option(help=f"Comma-separated parts: {', '.join(PARTS)}.", show_default=DEFAULT_PARTS)
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds of each part.", show_default="3")] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Checkouts, and empty chains, in a round.", show_default="3000")
    ] = None,
    grown: Annotated[int, typer.Option(min=1, help="Finished checkouts of the part growth.")] = GROWN,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"One small round of {QUICK_PARTS}, in two minutes: rough figures.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw rates and p95 over HTTP into this SVG file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure the engine and its peers; exit 1 when an audit found a violation."""
    console = Screen(stderr=as_json)
    choice = choose(only=only, rounds=rounds, size=size, is_quick=quick)
    _check_plot(plot, choice.parts)
    try:
        for part in choice.parts:
            if part in PREPARATIONS:
                PREPARATIONS[part](console.print)
        with Ending() as ending, explain_errors(), serve(counting=True) as settings:
            runner = BenchmarkRunner(settings, ending, size=choice.size, grown=grown, is_quick=quick)
            report = _run(runner, choice, console)
            if plot is not None:
                measured = "one round" if choice.rounds == 1 else f"medians of {choice.rounds} rounds"
                note = f"{measured}; each buyer buys again as soon as the last purchase is answered"
                plot.write_text(draw("Purchases over HTTP", note, collect(report.medians)))
    except Ended as ended:
        console.print(str(ended))
        raise typer.Exit(ended.code) from None
    except CommandError as error:
        say(str(error), err=True)
        raise typer.Exit(2) from None
    _show(console, report, [QUICK_NOTE] if quick else [])
    if as_json:
        say_json({**report.to_json(), "quick": quick})
    raise typer.Exit(1 if report.violations else 0)


def choose(*, only: str | None, rounds: int | None, size: int | None, is_quick: bool) -> Choice:
    """Return what is measured; raise typer.BadParameter when there is no such part."""
    return Choice(
        parts=_read_parts(only or (QUICK_PARTS if is_quick else DEFAULT_PARTS)),
        rounds=rounds or (1 if is_quick else 3),
        size=size or (QUICK_SIZE if is_quick else 3000),
        is_quick=is_quick,
    )


def _read_parts(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(PARTS)):
        raise typer.BadParameter(f"There is no part {', '.join(unknown)}; there are {', '.join(PARTS)}.")
    return names


def _check_plot(plot: Path | None, parts: list[str]) -> None:
    if plot is not None and not PLOTTED & set(parts):
        raise typer.BadParameter(f"--plot draws what these parts measure: {', '.join(sorted(PLOTTED))}.")
    if plot is not None and (plot.is_dir() or not plot.absolute().parent.is_dir()):
        raise typer.BadParameter(f"--plot needs a file in a folder that exists: {plot} is none.")


def _run(runner: BenchmarkRunner, choice: Choice, console: Console) -> Report:
    report = Report(speeds=[measure_speed()], violations=runner.violations)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        for number in range(1, choice.rounds + 1):
            report.rounds.append({})
            for part in choice.parts:
                task = bar.add_task(f"round {number} of {choice.rounds}: {part}", total=None)
                for name, value in PARTS[part](runner):
                    report.add(name, value)
                    console.print(f"round {number}/{choice.rounds}  {name} {value:.2f}")
                bar.remove_task(task)
            report.speeds.append(measure_speed())
    return report


def _show(console: Console, report: Report, notes: list[str]) -> None:
    table = Table("figure", "median", "min", "max")
    for found, digits in ((report.figures, 2), (report.ratios, 3)):
        for name, values in found.items():
            cells = (statistics.median(values), min(values), max(values))
            table.add_row(name, *(f"{value:.{digits}f}" for value in cells))
    warning = warn(report.speeds)
    notes = [*notes, warning] if warning else notes
    console.print(table, *report.violations, f"audit violations: {len(report.violations)}", *notes, sep="\n")


if __name__ == "__main__":
    app()
