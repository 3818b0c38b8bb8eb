"""All output of the commands: text goes through here and cannot control the terminal.

Names, references, reasons and cells of files come from outside. They may hold escape sequences, rich's markup, line
breaks that forge a line, or marks that change the direction of a line. JSON is ASCII, which escapes them all.
"""

import json
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from pipeline.security.printable import make_printable


class Screen(Console):
    """A console that prints plain text: no markup, no emoji names, no control characters."""

    def __init__(self, **options: Any) -> None:
        """Accept the options of rich's console."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make any string that is printed, alone or in a table, harmless."""
        return super().render_str(make_printable(text), **options)


def plain(value: object, look: str = "") -> Text:
    """Return harmless text in a style: rich prints its own `Text` unchanged."""
    return Text(make_printable(value), look)


def say(sentence: object = "", *, err: bool = False) -> None:
    """Print one line, on standard error with `err`; escape characters that this stream's encoding does not have."""
    _print(make_printable(sentence, most=None), err=err)


def say_row(cells: Sequence[object]) -> None:
    """Print one row with tabs between its cells; tabs inside cells are escaped."""
    _print("\t".join(make_printable(each) for each in cells), err=False)


def say_json(value: Any) -> None:
    """Print one JSON value in ASCII; times and ids as text."""
    typer.echo(json.dumps(value, default=str))


def _print(line: str, *, err: bool) -> None:
    encoding = typer.get_text_stream("stderr" if err else "stdout").encoding or "utf-8"
    typer.echo(line.encode(encoding, "backslashreplace").decode(encoding), err=err)
