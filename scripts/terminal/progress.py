"""Shows how far a long command is: a bar on a terminal, a line now and then where its output goes elsewhere."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from rich.progress import Progress

from scripts.terminal.output import Screen, say

#: Things that take less than about a second: nothing is shown for so few.
FEW: Final = 3000


@contextlib.contextmanager
def show_progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Give a function that takes how many more are through; everything is shown on standard error."""
    console = Screen(stderr=True)
    through = 0
    if total <= FEW or not console.is_terminal:

        def report(count: int) -> None:
            nonlocal through
            through += count
            if total > FEW:
                say(f"{through} of {total} {what}", err=True)

        yield report
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
