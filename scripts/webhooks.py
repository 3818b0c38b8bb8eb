"""Outbound webhooks: endpoints (`add`, `list`, `remove`), their deliveries (`deliveries --dead-lettered`), `replay`.

Exit codes: 0 done, 1 refused (no such endpoint, an address that is not allowed), 2 the database cannot be reached.
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
from scripts.environments.command_transaction import open_transaction, print_rows, refuse
from scripts.terminal.output import say, say_json

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=COMMANDS["webhooks"].help
)

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
        (each.id, "active" if each.active else "removed", each.owner, each.url, ", ".join(each.kinds))
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
    endpoint: Annotated[UUID | None, typer.Option(help="Only deliveries to this endpoint.")] = None,
) -> None:
    """Repeat deliveries: dead-lettered ones, or the named ones whatever their status."""
    with open_transaction("webhooks") as (connection, _):
        count = replay_deliveries(connection, ids=delivery_ids or None, endpoint_id=endpoint)
    say(f"{count} deliveries are repeated.")


if __name__ == "__main__":
    app()
