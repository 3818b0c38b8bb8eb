"""Shows everything about one checkout, and what to do: `checkout checkouts show ID`. Reads only.

Exit codes: 0 shown, 1 no such checkout, 2 the database cannot be reached.
"""

from typing import Annotated
from uuid import UUID

import typer

from scripts.diagnose import show_checkout


def main(
    checkout_id: Annotated[UUID, typer.Argument(metavar="ID", help="The checkout's id.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show everything about one checkout, and recommend what to do."""
    show_checkout(checkout_id, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
