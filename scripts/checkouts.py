"""Lists checkouts, newest first: `checkout checkouts list --state needs_review --owner shop-1`. Reads only.

Exit codes: 0 shown, 2 the database cannot be reached.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from models.money import Money
from models.states import CheckoutState
from pipeline.operations import read_page
from pipeline.operations.checkout_search import MAX_PAGE, CheckoutEntry, Filter
from scripts.environments.command_transaction import print_rows, read_for_people
from scripts.terminal.moments import put_into_utc
from scripts.terminal.output import say, say_json


def main(
    *,
    state: Annotated[CheckoutState | None, typer.Option(help="Only checkouts in this state.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only checkouts of this owner.")] = None,
    cart: Annotated[UUID | None, typer.Option(help="Only checkouts of this cart.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only checkouts started at or after this time (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only checkouts started before this time (UTC).")] = None,
    before: Annotated[UUID | None, typer.Option(help="Continue after this checkout: the last that was shown.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="How many at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find checkouts by state, owner, cart and time; `diagnose --checkout ID` then reports everything about one."""
    wanted = Filter(state, owner, cart, put_into_utc(since), put_into_utc(until), before)
    page, standby = read_for_people("checkouts", lambda connection, _: read_page(connection, wanted, limit=limit))
    if as_json:
        entries = [asdict(each) for each in page.entries]
        facts = {"checkouts": entries, "next_before": page.next_before, "standby": standby and asdict(standby)}
        say_json(facts)
        return
    columns = ("id", "started", "state", "owner", "total", "order", "failure", "reference")
    print_rows(columns, [_describe(each) for each in page.entries])
    if standby is not None:
        say(standby.sentence, err=True)
    if page.next_before is not None:
        say(f"There are more: --before {page.next_before}", err=True)


def _describe(entry: CheckoutEntry) -> tuple[object, ...]:
    total = None if entry.total_minor is None else Money(entry.total_minor, entry.currency)
    started = entry.created_at.isoformat(sep=" ", timespec="seconds")
    return (
        entry.id,
        started,
        entry.state,
        entry.owner,
        total,
        entry.order_number,
        entry.failure_code,
        entry.reference,
    )


if __name__ == "__main__":
    typer.run(main)
