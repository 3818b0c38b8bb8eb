"""The database's roles: `checkout roles apply`, after each migration, or `show` for use in SQL by hand.

Exit codes: 0 done, 2 the database cannot be reached, or does not let this user.
"""

import typer

from pipeline.database.roles import Role, grant, list_statements
from pipeline.gateways.installed import list_grants
from scripts.command_table import COMMANDS
from scripts.environments.desk import open_desk
from scripts.terminal.output import say

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=COMMANDS["roles"].help
)


@app.command()
def apply() -> None:
    """Make the roles and grant them what they may do; then grant one of them to each user that connects."""
    with open_desk("roles") as (connection, _):
        grant(connection, list_grants())
    say(f"{', '.join(Role)}: granted. Now `GRANT {Role.WORKER} TO user` for the user that the workers connect as.")


@app.command()
def show() -> None:
    """Print the statements."""
    for statement in list_statements(list_grants()):
        say(f"{statement};")


if __name__ == "__main__":
    app()
