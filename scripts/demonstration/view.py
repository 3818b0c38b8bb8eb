"""The output of the demo: one line for each thing that happens, one table at the end."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from models.money import Money
from scripts.demonstration.buyers import CURRENCY
from scripts.terminal.output import plain


@dataclass(frozen=True, slots=True)
class DemoVerdict:
    """One line of the table: its subject, what was found, and whether that is right."""

    about: str
    found: str
    holds: bool


def show_amount(minor: int | None) -> str:
    """Return an amount with its currency."""
    return "nothing" if minor is None else str(Money(minor, CURRENCY))


class Narrator:
    """Prints the story, each line with the seconds since the beginning."""

    def __init__(self, console: Console) -> None:
        """Begin now."""
        self._console = console
        self._began_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began_at

    def begin(self, act: str) -> None:
        """Begin an act."""
        self._console.print()
        self._console.print(plain(act, "bold"))

    def say(self, line: str) -> None:
        """Print one thing that has happened. A terminal breaks long lines beside the clock, a pipe gets whole lines."""
        clock = plain(f"{self.seconds:5.1f} s  ", "dim")
        if not self._console.is_terminal:
            self._console.print(clock.append(plain(line, "not dim")), soft_wrap=True)
            return
        row = Table.grid()
        row.add_column(no_wrap=True)
        row.add_column()
        row.add_row(clock, line)
        self._console.print(row)


def draw(verdicts: Sequence[DemoVerdict]) -> Table:
    """Return the table of the verdicts."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", style="bold", no_wrap=True)
    table.add_column("counted", overflow="fold")
    table.add_column("right?", no_wrap=True)
    for each in verdicts:
        table.add_row(each.about, each.found, plain("yes", "green") if each.holds else plain("NO", "bold red"))
    return table
