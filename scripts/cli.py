"""The one command, `checkout`: imports a subcommand only to run it, to complete it, or to show its own help."""

import importlib
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from scripts.command_table import COMMANDS, Command

#: The name in `[project.scripts]`.
NAME: Final = "checkout"


class LazyGroup(TyperGroup):
    """A group that lists its commands from the table, and imports one when it is chosen."""

    def __init__(self, *, prefix: str = "", **options: Any) -> None:
        """Accept typer's options of a group, and the name of the group in the table."""
        super().__init__(**options)
        self._prefix = prefix
        for path, entry in COMMANDS.items():
            group, _, name = path.rpartition(" ")
            if group == prefix:
                self.add_command(TyperCommand(name, help=entry.help), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return the chosen command itself instead of its entry in the list."""
        name, listed, rest = super().resolve_command(ctx, args)
        if listed is None:
            return name, listed, rest
        path = f"{self._prefix} {listed.name}".strip()
        return name, load(path, COMMANDS[path]), rest


def load(path: str, entry: Command) -> TyperCommand | TyperGroup:
    """Import a command; build a group from the table."""
    name = path.rpartition(" ")[2]
    if entry.target is None:
        return LazyGroup(prefix=path, name=name, help=entry.help, no_args_is_help=True)
    module, _, attribute = entry.target.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        function = found
        found = typer.Typer(add_completion=False)
        found.command()(function)
    command = typer.main.get_command(found)
    command.name = name
    assert isinstance(command, (TyperCommand, TyperGroup))  # noqa: S101 - typer makes nothing else
    return command


app = typer.Typer(name=NAME, cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Checkout engine: turns a cart into exactly one paid order, or into nothing at all."""


if __name__ == "__main__":
    app(prog_name=NAME)
