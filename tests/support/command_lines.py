"""Parses command lines of `checkout` with the app, without running them."""

import shlex
from typing import Any, Final

import typer

from scripts.cli import NAME, app

#: Placeholders in pages and sentences, each with a valid value.
VALUES: Final = {
    "COMMAND": "monitor",
    "FILE": "file.csv",
    "ID": "0190f3c1-6b70-7d2a-8c15-0f3b2a9d4e22",
    "N": "5",
    "NAME": "shop-1",
    "NUMBER": "1001",
    "ORDER": "1001",
    "PARTS": "idle",
    "PERCENT": "20",
    "SKU": "kettle",
    "TEXT": "settled with the provider",
}
HELP: Final = "--help"


def parse(line: str, *, whole: bool) -> str:
    """Return the command of a line, such as `catalog stock`; raise typer's exception when the app rejects it.

    With `whole` False a line may name a command without its required arguments, or a group without a command.
    """
    program, *words = shlex.split(line.translate({ord("["): None, ord("]"): None}))
    assert program == NAME, line
    arguments = [VALUES.get(word, word) for word in words if word != HELP]
    whole = whole and HELP not in words
    command: Any = typer.main.get_command(app)
    context: Any = typer.Context(command, info_name=NAME)
    path: list[str] = []
    while arguments and hasattr(command, "resolve_command") and arguments[0] not in list_options(command):
        name, command, arguments = command.resolve_command(context, arguments)
        path.append(name)
        context = typer.Context(command, parent=context, info_name=name)
    assert not (whole and hasattr(command, "resolve_command")), f"{line} names a group"
    if (whole or arguments) and not hasattr(command, "resolve_command"):
        command.make_context(command.name, arguments, parent=context.parent)
    return " ".join(path)


def list_options(command: Any) -> set[str]:
    """Return the command's own options."""
    return {option for parameter in command.params for option in parameter.opts}
