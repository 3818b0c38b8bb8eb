"""API keys of the HTTP edge: `checkout keys create --owner shop-1`, `list`, `revoke ID`.

Exit codes: 0 done, 1 refused (no such key, an invalid name), 2 the database cannot be reached.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.operations import CommandLine
from pipeline.security import KeyRecord, Scope, create_key, list_keys, revoke_key
from scripts.environments.command_transaction import open_transaction, print_rows, refuse
from scripts.terminal.output import say, say_json

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Manage API keys.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(
    *,
    owner: Annotated[str, typer.Option(help="Owner of the carts and checkouts that the key may use.")],
    name: Annotated[str, typer.Option(help="Name of the key in lists and logs.")] = "key",
    scope: Annotated[list[Scope] | None, typer.Option(help="What the key may do; checkout by default.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="After how many days it expires.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it; it is not shown again."""
    with open_transaction("keys") as (connection, settings):
        record, token = create_key(
            connection, owner=owner, name=name, scopes=scope or [Scope.CHECKOUT], days=days, cell=settings.cell
        )
    if as_json:
        say_json(asdict(record) | {"token": token})
    else:
        say(token)
        say(f"Key {record.id} of {owner} for {_list(record.scopes)}. It is not shown again.", err=True)


@app.command("list")
def show(*, as_json: AsJson = False) -> None:
    """List all keys, without their secrets."""
    with open_transaction("keys") as (connection, _):
        records = list_keys(connection)
    if as_json:
        say_json([asdict(each) for each in records])
        return
    columns = ("id", "owner", "name", "scopes", "made", "expires", "revoked")
    print_rows(columns, [_describe(each) for each in records])


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The id of the key: its part of 12 characters.")]) -> None:
    """Revoke a key, from the next request on."""
    with open_transaction("keys") as (connection, _):
        record = revoke_key(connection, key_id)
    if record is None:
        refuse(f"There is no key {key_id}: `{CommandLine.LIST_KEYS}` shows them.")
    say(f"Key {key_id} is revoked.")


def _describe(record: KeyRecord) -> tuple[object, ...]:
    times = (record.created_at, record.expires_at, record.revoked_at)
    shown = (None if each is None else each.isoformat(sep=" ", timespec="minutes") for each in times)
    return (record.id, record.owner, record.name, _list(record.scopes), *shown)


def _list(scopes: Sequence[Scope]) -> str:
    return ", ".join(scopes)


if __name__ == "__main__":
    app()
