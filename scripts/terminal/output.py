"""The edge of every view on a terminal or in a pipe: all text goes through here, and none of it can act on a terminal.

Names, references, reasons and cells of files were written by others. They may hold escape sequences, rich's markup,
line breaks that forge a line, or marks that turn the direction of a line. JSON is ASCII, which escapes them all.
"""

import json
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from pipeline.security.printable import make_printable


class Screen(Console):
    """A console on which text is text: no markup, no emoji names, and nothing that acts on the terminal."""

    def __init__(self, **options: Any) -> None:
        """Take what rich's console takes."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make any string that is printed, or stands in a table, harmless."""
        return super().render_str(make_printable(text), **options)


def plain(value: object, look: str = "") -> Text:
    """Return text in a style, made harmless: rich prints its own `Text` as it is."""
    return Text(make_printable(value), look)


def say(sentence: object = "", *, err: bool = False) -> None:
    """Print one line, on standard error if asked; what this stream's encoding does not know is written as its code."""
    _print(make_printable(sentence, most=None), err=err)


def say_row(cells: Sequence[object]) -> None:
    """Print one row, its cells divided by tabs: none of them holds one."""
    _print("\t".join(make_printable(each) for each in cells), err=False)


def say_json(value: Any) -> None:
    """Print one JSON value in ASCII; times and ids as text."""
    typer.echo(json.dumps(value, default=str))


def _print(line: str, *, err: bool) -> None:
    encoding = typer.get_text_stream("stderr" if err else "stdout").encoding or "utf-8"
    typer.echo(line.encode(encoding, "backslashreplace").decode(encoding), err=err)
