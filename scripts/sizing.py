"""Reckons what a peak needs: `checkout sizing --peak 2000/s --bank-ms 400`.

It connects to nothing. The costs of a checkout are those of docs/scaling.md; measure yours with
`checkout bench --only costs`. Exit codes: 0 reckoned; 2 the peak or the bank is not a number that it can reckon with.
"""

import re
from dataclasses import asdict
from typing import Annotated, Final

import typer

from scripts.capacity.costs import HTTP, RUSH
from scripts.capacity.plan import Peak, Plan, make_plan
from scripts.environments.command_transaction import print_rows
from scripts.terminal.output import say, say_json

_RATE: Final = re.compile(r"^(?P<count>\d{1,9}(?:\.\d{1,3})?)(?:/(?P<unit>s|min|h))?$")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600}
#: More checkouts a second than all shops of the largest platform have at their peak, ten times over.
MAX_PER_SECOND: Final = 100_000
MIN_PER_SECOND: Final = 0.001


def read_peak(given: str) -> float:
    """Return checkouts a second of `2000/s`, `700/min`, `50000/h` or `2000`."""
    found = _RATE.match(given.strip())
    per_second = float(found["count"]) / _SECONDS[found["unit"] or "s"] if found is not None else 0.0
    if not MIN_PER_SECOND <= per_second <= MAX_PER_SECOND:
        raise typer.BadParameter(f"it must be a rate such as 2000/s or 700/min, up to {MAX_PER_SECOND:,}/s.")
    return per_second


def main(
    *,
    peak: Annotated[str, typer.Option(help="Checkouts at the peak: 2000/s, 700/min or 50000/h.")],
    bank_ms: Annotated[int, typer.Option(min=0, max=60_000, help="Milliseconds of one call of the provider.")] = 300,
    hosts: Annotated[int, typer.Option(min=1, max=1000, help="Hosts for the workers: each has every process.")] = 1,
    over: Annotated[str, typer.Option(help="How checkouts come: http or queue.")] = "http",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Reckon processes, cores, connections and cells for a peak."""
    if over not in {"http", "queue"}:
        raise typer.BadParameter("it must be http or queue.", param_hint="--over")
    plan = make_plan(Peak(read_peak(peak), bank_ms / 1000, hosts), HTTP if over == "http" else RUSH)
    if as_json:
        say_json(asdict(plan))
        return
    print_rows(("process", "how many"), [(name, count) for name, count in plan.processes.items()])
    say()
    print_rows(("needs", "at the peak"), _list_needs(plan))
    if plan.cells > 1:
        say(f"That is more than one {plan.bound_by} carries: spread the shops over {plan.cells} cells (docs/cells.md).")


def _list_needs(plan: Plan) -> list[tuple[str, str]]:
    return [
        ("cores of workers and web", f"{plan.worker_cores:.1f}"),
        ("cores of PostgreSQL", f"{plan.postgres_cores:.1f}"),
        ("cores of Valkey", f"{plan.valkey_cores:.2f}"),
        ("memory of workers and web", f"{plan.worker_megabytes / 1000:.1f} GB"),
        ("connections to PostgreSQL", str(plan.connections)),
        ("calls of the provider in flight", str(plan.calls_in_flight)),
        ("WAL", f"{plan.wal_bytes_per_second / 1e6:.1f} MB/s"),
        ("bound first by", plan.bound_by),
    ]


if __name__ == "__main__":
    typer.run(main)
