"""Checks every invariant and compares with the payment provider: `checkout reconcile`, or `checkout audit --gateway`.

Exit codes: 0 all hold and there is no difference, 1 an invariant is violated or a difference remains, 2 the database
or the provider could not be read.
"""

from typing import Annotated

import typer

from scripts import audit


def main(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="First settle what has a safe rule.")] = False,
    hours: Annotated[float, typer.Option(min=0.01, max=87_600, help="How far back.")] = 168,
) -> None:
    """Check every invariant and compare with the payment provider; exit 1 when something differs."""
    audit.main(as_json=as_json, gateway=True, repair=repair, hours=hours)


if __name__ == "__main__":
    typer.run(main)
