"""A command line of `checkout`, parsed by the app as it is written, and not run."""

import shlex
from typing import Any, Final

import typer

from scripts.cli import NAME, app

#: What stands for a value in a page or a sentence, and a value that is one.
VALUES: Final = {
    "COMMAND": "monitor",
    "FILE": "file.csv",
    "ID": "0190f3c1-6b70-7d2a-8c15-0f3b2a9d4e22",
    "N": "5",
    "NAME": "shop-1",
    "PARTS": "idle",
    "PERCENT": "20",
    "SKU": "kettle",
    "TEXT": "settled with the provider",
}
HELP: Final = "--help"


def parse(line: str, *, whole: bool) -> str:
    """Return which command a line runs, as `catalog stock`; raises typer's exception when the app does not take it.

    A line that is not meant as a whole may name a command without what it requires, and a group without a command.
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
    """Return the options of a command's own."""
    return {option for parameter in command.params for option in parameter.opts}
