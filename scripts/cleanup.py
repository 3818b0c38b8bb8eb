"""Expires now what has run out of time, as the sweep does: `checkout checkouts cleanup`. Prints counts.

Exit codes: 0 done, 2 the database cannot be reached. Without Redis it expires all the same; the sweep sends later.
"""

from collections import Counter
from dataclasses import asdict
from typing import Annotated, Final

import typer

from pipeline.saga.sweep import sweep
from scripts.environments.desk import print_rows
from scripts.environments.engine_desk import open_engine
from scripts.terminal.output import say_json

#: One tick takes on `CHECKOUT_SWEEP_LIMIT` checkouts; so many ticks are 50,000 of them at the default.
TICKS: Final = 100


def main(
    *,
    ticks: Annotated[int, typer.Option(min=1, help="At most so many ticks.")] = TICKS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Expire what has run out of time, and call again on what was lost, until nothing is left to do."""
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
