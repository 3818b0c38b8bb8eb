"""The comparison with the payment provider, and the repairs, as `checkout reconcile` runs them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.errors import Unavailable
from pipeline.reconciliation import Comparison, OnProgress, Repair, Repairer, read_clock, reconcile
from pipeline.settings import Settings
from scripts.environments.command_errors import open_redis
from workers.bootstrap import Components, build_components
from workers.logs import configure_logs

#: Without a terminal, one line for every so many objects: a minute or two at a provider's pace.
LINE_EVERY: Final = 10_000


@dataclass(slots=True)
class ProviderAudit:
    """The comparison and its repairs. If the provider could not be read, `comparison` is None and `error` says why."""

    gateway: str
    since: datetime
    repairs: list[Repair] = field(default_factory=list)
    comparison: Comparison | None = None
    error: str | None = None

    @property
    def differences(self) -> int:
        """How many differences remain."""
        return 0 if self.comparison is None else len(self.comparison.differences)


def compare_with_provider(
    settings: Settings, hours: float, *, repair: bool, notes: Console, report_repair: Callable[[Repair], None]
) -> ProviderAudit:
    """Compare the last hours with the provider; with `repair`, settle what has a rule and compare again."""
    configure_logs(settings.model_copy(update={"log_level": "warning"}))
    # Checks the address early, so that an invalid one is reported in a sentence.
    open_redis(settings).close()
    components = build_components(settings, "audit")
    try:
        since = read_clock(components.database) - timedelta(hours=hours)
        audit = ProviderAudit(components.gateway.name, since)
        try:
            audit.comparison = _compare(components, since, notes)
            if repair:
                _repair(components, audit, audit.comparison, report_repair)
            if audit.repairs:
                audit.comparison = _compare(components, since, notes)
        except Unavailable as error:
            audit.comparison, audit.error = None, str(error)
        return audit
    finally:
        components.close()


def _compare(components: Components, since: datetime, notes: Console) -> Comparison:
    with _show_progress(notes) as report:
        return reconcile(components.database, components.gateway, components.settings, since, report=report)


def _repair(
    components: Components, audit: ProviderAudit, comparison: Comparison, report: Callable[[Repair], None]
) -> None:
    def note(repair: Repair) -> None:
        audit.repairs.append(repair)
        report(repair)

    repairer = Repairer(
        components.database,
        components.gateway,
        components.poller,
        components.unwinder,
        components.charges,
        components.settings,
    )
    repairer.repair(comparison.findings, note)


@contextmanager
def _show_progress(notes: Console) -> Iterator[OnProgress]:
    """Yield a function that shows the progress: a live line on a terminal, elsewhere one every so many objects."""
    if notes.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=notes, transient=True) as line:
            task = line.add_task("reading the provider", total=None)
            yield lambda what, count: line.update(task, description=f"{count:,} objects {what}")
        return
    shown: dict[str, int] = {}

    def report(what: str, count: int) -> None:
        if count // LINE_EVERY > shown.get(what, 0):
            shown[what] = count // LINE_EVERY
            notes.print(f"{count} objects {what}.")

    yield report
