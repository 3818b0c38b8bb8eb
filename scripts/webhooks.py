"""Outbound webhooks: endpoints (`add`, `list`, `remove`), their deliveries (`deliveries --dead-lettered`), `replay`.

Exit codes: 0 done, 1 refused (no such endpoint, an address that is not allowed), 2 the database cannot be reached.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import typer

from models.states import DeliveryStatus
from pipeline.checkouts.events import EVERY_KIND
from pipeline.operations import CommandLine
from pipeline.webhooks.outbound import add_endpoint, list_deliveries, list_endpoints, remove_endpoint, replay_since
from pipeline.webhooks.outbound import replay as replay_deliveries
from scripts.command_table import COMMANDS
from scripts.environments.command_transaction import open_engine, open_transaction, print_rows, refuse
from scripts.terminal.output import say, say_json

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=COMMANDS["webhooks"].help
)

#: A day, or a moment to the second.
MOMENTS: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Address of the endpoint: https, and public.")],
    *,
    owner: Annotated[str | None, typer.Option(help="Only checkouts of this owner; by default of all owners.")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Only these events, such as checkout.completed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint; print its signing secret, once."""
    with open_transaction("webhooks") as (connection, settings):
        endpoint, secret = add_endpoint(connection, settings, url=url, owner=owner, kinds=event or [])
    if as_json:
        say_json(asdict(endpoint) | {"secret": secret})
    else:
        say(secret)
        say(f"Endpoint {endpoint.id}. The secret, above, is not shown again.", err=True)


@app.command("list")
def show(*, as_json: AsJson = False) -> None:
    """List the endpoints, without their secrets."""
    with open_transaction("webhooks") as (connection, _):
        endpoints = list_endpoints(connection)
    if as_json:
        say_json([asdict(each) for each in endpoints])
        return
    rows = [
        (each.id, "active" if each.active else "removed", each.owner, each.url, _list_kinds(each.kinds))
        for each in endpoints
    ]
    print_rows(("id", "state", "owner", "url", "events"), rows)


@app.command()
def remove(endpoint_id: Annotated[UUID, typer.Argument(help="The endpoint's id.")]) -> None:
    """Remove an endpoint; drop its pending deliveries."""
    with open_transaction("webhooks") as (connection, _):
        removed = remove_endpoint(connection, endpoint_id)
    if not removed:
        refuse(f"There is no active endpoint {endpoint_id}: `{CommandLine.LIST_WEBHOOKS}` shows them.")
    say(f"Endpoint {endpoint_id} is removed.")


@app.command()
def deliveries(
    *,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Only deliveries with this status.")] = None,
    dead_lettered: Annotated[
        bool, typer.Option("--dead-lettered", help="Only dead-lettered ones: same as --status dead_lettered.")
    ] = False,
    checkout: Annotated[UUID | None, typer.Option(help="Only deliveries about this checkout.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the newest deliveries."""
    chosen = DeliveryStatus.DEAD_LETTERED if dead_lettered else status
    with open_transaction("webhooks") as (connection, _):
        found = list_deliveries(connection, status=chosen, checkout_id=checkout)
    if as_json:
        say_json([asdict(each) for each in found])
        return
    columns = ("id", "event", "checkout", "status", "attempts", "last", "error", "url")
    rows = [
        (each.id, each.kind, each.checkout_id, each.status, each.attempts, each.last_status, each.last_error, each.url)
        for each in found
    ]
    print_rows(columns, rows)


@app.command()
def replay(
    delivery_ids: Annotated[
        list[UUID] | None, typer.Argument(help="Ids of the deliveries; by default all dead-lettered ones.")
    ] = None,
    *,
    since: Annotated[
        datetime | None, typer.Option(formats=MOMENTS, help="All events since then (UTC), also delivered ones.")
    ] = None,
    endpoint: Annotated[UUID | None, typer.Option(help="Only deliveries to this endpoint.")] = None,
    event: Annotated[list[str] | None, typer.Option(help="With --since: only these events.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --since: only count them.")] = False,
) -> None:
    """Repeat deliveries: dead-lettered ones, the named ones, or all since a moment.

    With --since, an endpoint that was added later gets the events of before.
    """
    if since is None:
        if event or dry_run:
            refuse("--event and --dry-run are for a replay from a moment: add --since.")
        with open_transaction("webhooks") as (connection, _):
            count = replay_deliveries(connection, ids=delivery_ids or None, endpoint_id=endpoint)
        say(f"{count} deliveries are repeated.")
        return
    if delivery_ids:
        refuse("A replay from a moment is of all events since then: leave --since or the ids out.")
    with open_engine("webhooks", pool_size=2) as (engine, _):
        made = replay_since(engine, since.replace(tzinfo=UTC), endpoint_id=endpoint, kinds=event or (), dry_run=dry_run)
    would = "would be" if dry_run else "are"
    say(f"{made.repeated} deliveries {would} repeated, {made.created} {would} new.")


def _list_kinds(kinds: Sequence[str]) -> str:
    return "all" if EVERY_KIND in kinds else ", ".join(kinds)


if __name__ == "__main__":
    app()
