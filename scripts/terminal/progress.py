"""Shows the progress of a long command: a bar on a terminal, a line for each chunk elsewhere."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from rich.progress import Progress

from scripts.terminal.output import Screen, say

#: No progress is shown up to this number: they take less than about a second.
FEW: Final = 3000


@contextlib.contextmanager
def show_progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how many more are done; all output goes to standard error."""
    console = Screen(stderr=True)
    done = 0
    if total <= FEW or not console.is_terminal:

        def report(count: int) -> None:
            nonlocal done
            done += count
            if total > FEW:
                say(f"{done} of {total} {what}", err=True)

        yield report
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
