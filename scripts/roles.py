"""The database's roles: `checkout roles apply`, after each migration, or `show` for use in SQL by hand.

Exit codes: 0 done, 2 the database cannot be reached, or this user lacks the privilege.
"""

import typer

from pipeline.database.roles import Role, grant, list_statements
from pipeline.gateways.installed import list_grants
from scripts.command_table import COMMANDS
from scripts.environments.command_transaction import open_transaction
from scripts.terminal.output import say

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=COMMANDS["roles"].help
)


@app.command()
def apply() -> None:
    """Create the roles with their privileges; then grant one of them to each user that connects."""
    with open_transaction("roles") as (connection, _):
        grant(connection, list_grants())
    say(f"{', '.join(Role)}: granted. Now `GRANT {Role.WORKER} TO user` for the user that the workers connect as.")


@app.command()
def show() -> None:
    """Print the SQL statements."""
    for statement in list_statements(list_grants()):
        say(f"{statement};")


if __name__ == "__main__":
    app()
