"""Outbound webhooks: endpoints (`add`, `list`, `remove`), dead-lettered ones (`deliveries --dead-lettered`), `replay`.

Exit codes: 0 done, 1 refused (no such endpoint, an address that may not be), 2 the database cannot be reached.
"""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from models.states import DeliveryStatus
from pipeline.operations import CommandLine
from pipeline.webhooks.outbound import add_endpoint, list_deliveries, list_endpoints, remove_endpoint
from pipeline.webhooks.outbound import replay as replay_deliveries
from scripts.command_table import COMMANDS
from scripts.environments.desk import open_desk, print_rows, refuse
from scripts.terminal.output import say, say_json

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=COMMANDS["webhooks"].help
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Address of the endpoint: https, and public.")],
    *,
    owner: Annotated[str | None, typer.Option(help="Only checkouts of this owner; of all owners without it.")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Of which events, such as checkout.completed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint; prints its signing secret, once."""
    with open_desk("webhooks") as (connection, settings):
        endpoint, secret = add_endpoint(connection, settings, url=url, owner=owner, kinds=event or [])
    if as_json:
        say_json(asdict(endpoint) | {"secret": secret})
    else:
        say(secret)
        say(f"Endpoint {endpoint.id}. The secret, above, is not shown again.", err=True)


@app.command("list")
def show(*, as_json: AsJson = False) -> None:
    """List the endpoints, without their secrets."""
    with open_desk("webhooks") as (connection, _):
        endpoints = list_endpoints(connection)
    if as_json:
        say_json([asdict(each) for each in endpoints])
        return
    rows = [
        (each.id, "active" if each.active else "removed", each.owner, each.url, ", ".join(each.kinds))
        for each in endpoints
    ]
    print_rows(("id", "state", "owner", "url", "events"), rows)


@app.command()
def remove(endpoint_id: Annotated[UUID, typer.Argument(help="The endpoint's id.")]) -> None:
    """Remove an endpoint; what was still due to it is dropped."""
    with open_desk("webhooks") as (connection, _):
        removed = remove_endpoint(connection, endpoint_id)
    if not removed:
        refuse(f"There is no active endpoint {endpoint_id}: `{CommandLine.LIST_WEBHOOKS}` shows them.")
    say(f"Endpoint {endpoint_id} is removed.")


@app.command()
def deliveries(
    *,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Only these.")] = None,
    dead_lettered: Annotated[
        bool, typer.Option("--dead-lettered", help="Only dead-lettered ones: --status dead_lettered.")
    ] = False,
    checkout: Annotated[UUID | None, typer.Option(help="Only deliveries about this checkout.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the newest deliveries."""
    chosen = DeliveryStatus.DEAD_LETTERED if dead_lettered else status
    with open_desk("webhooks") as (connection, _):
        found = list_deliveries(connection, status=chosen, checkout_id=checkout)
    if as_json:
        say_json([asdict(each) for each in found])
        return
    columns = ("id", "event", "checkout", "status", "tries", "last", "error", "url")
    rows = [
        (each.id, each.kind, each.checkout_id, each.status, each.attempts, each.last_status, each.last_error, each.url)
        for each in found
    ]
    print_rows(columns, rows)


@app.command()
def replay(
    delivery_ids: Annotated[
        list[UUID] | None, typer.Argument(help="These deliveries; without, all dead-lettered ones.")
    ] = None,
    *,
    endpoint: Annotated[UUID | None, typer.Option(help="Of this endpoint alone.")] = None,
) -> None:
    """Make deliveries again: dead-lettered ones, or the named ones whatever became of them."""
    with open_desk("webhooks") as (connection, _):
        count = replay_deliveries(connection, ids=delivery_ids or None, endpoint_id=endpoint)
    say(f"{count} deliveries are made again.")


if __name__ == "__main__":
    app()
