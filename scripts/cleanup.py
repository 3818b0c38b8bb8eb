"""Expires checkouts at once, as the sweep does: `checkout checkouts cleanup`. Prints counts.

Exit codes: 0 done, 2 the database cannot be reached. It expires them also without Redis; the sweep sends later.
"""

from collections import Counter
from dataclasses import asdict
from typing import Annotated, Final

import typer

from pipeline.saga.sweep import sweep
from scripts.environments.command_engine import open_engine
from scripts.environments.command_transaction import print_rows
from scripts.terminal.output import say_json

#: One sweep handles `CHECKOUT_SWEEP_LIMIT` checkouts: 50,000 in so many sweeps at the default.
TICKS: Final = 100


def main(
    *,
    ticks: Annotated[int, typer.Option(min=1, help="How many sweeps at most.")] = TICKS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Expire checkouts that have run out of time, and redeliver lost messages, until nothing is left to do."""
    totals: Counter[str] = Counter()
    with open_engine("cleanup") as engine:
        for _ in range(ticks):
            counts = asdict(sweep(engine.transactions, engine.publisher, engine.backlog, engine.settings))
            totals.update(counts)
            if not counts["expired"]:
                break
    if as_json:
        say_json(dict(totals))
    else:
        print_rows(("what", "count"), sorted(totals.items()))


if __name__ == "__main__":
    typer.run(main)
