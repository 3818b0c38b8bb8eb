"""Runs the rounds of a benchmark: each with its own database, fresh processes, and the audit at its end."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pipeline.audit import take_report
from pipeline.database import connect_engine
from pipeline.settings import Settings
from scripts.benchmarks.bank import AgreeingBank
from scripts.benchmarks.workload import fill_carts, read_makespan, start_all, stock_variants
from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ending
from scripts.environments.fleet import FleetLog, read_procfile, run_fleet
from scripts.environments.reaper import temporary_folder
from scripts.environments.scratch import open_scratch
from scripts.environments.supervisor import Supervisor
from workers.bootstrap import Components, build_components

T = TypeVar("T")

#: The figures of a part: names and values, one after another.
Figures = Iterator[tuple[str, float]]

VARIANTS: Final = 10_000
#: Finished checkouts beside which growth is measured: ten million take an hour and 80 GB.
GROWN: Final = 1_000_000
#: Making a backlog takes longer than the default age of a lost message: the sweep must not send it before the start.
STALL_SECONDS: Final = 600
#: A longer round is stuck.
ROUND_SECONDS: Final = 300
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its settings, and resources that are closed when the round ends."""

    settings: Settings
    log: FleetLog
    ending: Ending
    is_forked: bool
    _stack: ExitStack

    def build(self, *, agreeing: bool = False) -> Components:
        """Build an engine for this process; with `agreeing`, at a bank that keeps no ledger."""
        components = build_components(self.settings, "bench", gateway=AgreeingBank() if agreeing else None)
        self._stack.callback(components.close)
        return components

    def serve(self, lines: Mapping[str, str] | None = None, scale: Mapping[str, int] | None = None) -> Supervisor:
        """Start the lines of the Procfile, or the given ones; return once they are up.

        Each is started as in production, in a quick run forked from one process: that takes a tenth of the time.
        """
        fleet = run_fleet(self.settings, self.log, self.ending, lines=lines, scale=scale, forked=self.is_forked)
        return self.enter(fleet)

    def enter(self, resource: AbstractContextManager[T]) -> T:
        """Open this resource, and close it when the round ends."""
        return self._stack.enter_context(resource)

    def at_end(self, close: Callable[[], object]) -> None:
        """Call this when the round ends."""
        self._stack.callback(close)


class BenchmarkRunner:
    """Opens rounds and collects the violations that their audits find."""

    def __init__(
        self, settings: Settings, ending: Ending, *, size: int, grown: int = GROWN, is_quick: bool = False
    ) -> None:
        """Measure `size` checkouts in a round, unless a part has its own; growth beside `grown` finished ones.

        Parts that take long are smaller if quick.
        """
        self.settings = settings.model_copy(update={"log_level": "warning"})
        self.ending, self.size, self.grown, self.is_quick = ending, size, grown, is_quick
        self.violations: list[str] = []

    @contextmanager
    def open(self, *, audited: bool = True, bank_seconds: float = 0, **changes: Any) -> Iterator[Round]:
        """Open a round with changed settings and this latency of the bank; run the audit at its end."""
        with ExitStack() as outer:
            scratch = outer.enter_context(open_scratch(self.settings, "bench"))
            settings = scratch.with_gateway_options(latency_seconds=bank_seconds).model_copy(update=changes)
            folder = outer.enter_context(temporary_folder("checkout-bench-"))
            with ExitStack() as stack:
                log = FleetLog(folder / "workers.log")
                stack.callback(log.close)
                yield Round(settings, log, self.ending, self.is_quick, stack)
                if audited:
                    self.audit(settings)

    def wait(self, check: Callable[[], T | None], *, every_seconds: float = POLL_SECONDS) -> T:
        """Return the first result of `check` that is not None."""
        deadline = time.monotonic() + ROUND_SECONDS
        while (found := check()) is None:
            if time.monotonic() > deadline:
                raise CommandError(f"A round was not over after {ROUND_SECONDS} s.")
            self.ending.sleep(every_seconds)
        return found

    def measure_rate(
        self,
        variants: int = VARIANTS,
        *,
        agreeing: bool = False,
        scale: Mapping[str, int] | None = None,
        size: int | None = None,
        **changes: Any,
    ) -> float:
        """Return checkouts a second of the whole engine; the backlog is sent at once to running workers."""
        count = size or self.size
        lines = read_procfile()
        changes["redeliver_after_seconds"] = STALL_SECONDS
        if agreeing:
            changes["gateway"] = AgreeingBank.name
            lines = {name: line.replace("workers.main:", "scripts.benchmarks.bank:") for name, line in lines.items()}
        with self.open(**changes) as own:
            components = own.build(agreeing=agreeing)
            stock_variants(components.database, variants, count)
            sends = start_all(components, fill_carts(components.database, count, variants))
            own.serve(lines, scale)
            components.publisher.send(sends)
            return count / self.wait(lambda: read_makespan(components.database))

    def audit(self, settings: Settings) -> None:
        """Run the audit on this round's database."""
        database = connect_engine(settings, application_name="audit", pool_size=1, statement_timeout_seconds=0)
        try:
            with database.connect() as connection:
                found = take_report(connection, settings).violations
                self.violations += [f"{each.invariant}: {each.meaning} ({each.count} rows)" for each in found]
        finally:
            database.dispose()
