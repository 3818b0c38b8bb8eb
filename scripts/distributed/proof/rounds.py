"""One fault after another while buyers buy; after each the cluster must be stable again, and nothing lost."""

import os
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from scripts.distributed.cluster import Cluster, Report
from scripts.distributed.faults import FAULTS, Fault, Injected, Skipped
from scripts.distributed.layout import BUYERS
from scripts.distributed.proof.buyers import Buyers, Ledger, find_longest_gap, open_shop
from scripts.distributed.proof.commits import Writer, make_commits
from scripts.distributed.proof.verification import Verdict, count_redelivered, verify
from scripts.environments.command_errors import CommandError
from scripts.environments.reaper import temporary_folder

#: Purchases before the first fault, and after each healed one, at both worker hosts.
WARM: Final = 10
WARM_SECONDS: Final = 120.0


@dataclass
class Outcome:
    """What one fault did. `gap_seconds` is the longest time without a finished purchase."""

    fault: str
    detail: str = ""
    skipped: str = ""
    gap_seconds: float = 0.0
    #: The same of the second writer's commits: the database's part of it.
    commit_gap_seconds: float = 0.0
    bound_seconds: float = 0.0
    stable_seconds: float = 0.0
    purchases: int = 0
    repeated_requests: int = 0
    redelivered_messages: int = 0
    commits: int = 0
    #: Of the machine, over the last minute, when the fault was over.
    load: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    #: Whether it was injected and healed.
    is_over: bool = True

    @property
    def is_slow(self) -> bool:
        """Whether purchases stood still for longer than the fault's bound."""
        return self.gap_seconds > self.bound_seconds

    def list_objections(self) -> list[str]:
        """Return one sentence for each thing that is wrong."""
        slow = f"no purchase was finished for {self.gap_seconds:.1f} s, the bound is {self.bound_seconds:g} s"
        return [*self.verdict.list_objections(), *([slow] if self.is_slow and self.is_over else [])]

    def summarize(self) -> str:
        """Return it in one line."""
        if self.skipped:
            return f"skipped: {self.skipped}"
        return (
            f"{self.gap_seconds:.1f} s without a purchase, {self.commit_gap_seconds:.1f} s without a commit; "
            f"{self.purchases} purchases, {self.commits} commits, {self.redelivered_messages} messages resent, "
            f"{self.repeated_requests} requests repeated; load average {self.load:.1f}"
        )

    def describe(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return {
            "fault": self.fault,
            "detail": self.detail,
            "skipped": self.skipped or None,
            "seconds_without_purchase": round(self.gap_seconds, 1),
            "seconds_without_commit": round(self.commit_gap_seconds, 1),
            "bound_seconds": self.bound_seconds,
            "seconds_until_stable": round(self.stable_seconds, 1),
            "purchases": self.purchases,
            "repeated_requests": self.repeated_requests,
            "redelivered_messages": self.redelivered_messages,
            "commits": self.commits,
            "load_average": round(self.load, 1),
            "commits_lost": self.verdict.commits_lost,
            "orders_lost": self.verdict.orders_lost,
            "orders_doubled": self.verdict.orders_doubled,
            "stuck": self.verdict.stuck,
            "objections": self.list_objections(),
        }


def run_faults(
    cluster: Cluster, names: Sequence[str], report: Report, *, rounds: int = 1
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each fault, in each round; a cluster that does not recover is the last outcome."""
    with ExitStack() as stack:
        stack.enter_context(cluster.network.hosts[BUYERS].inside())
        # On no host of the cluster: whatever becomes of these, the ledger says what was acknowledged.
        folder = stack.enter_context(temporary_folder("ledger-"))
        ledger = Ledger(folder / "orders.jsonl")
        stack.callback(ledger.close)
        make_commits()
        writer = stack.enter_context(Writer("outside"))
        buyers = stack.enter_context(Buyers(open_shop(cluster.engine), ledger, cluster.ending))
        run = Run(cluster, ledger, buyers, [writer])
        run.warm_up()
        for _ in range(rounds):
            for name in names:
                report(f"{name}: {FAULTS[name].meaning}")
                try:
                    outcome = run.inject(name, FAULTS[name], report)
                except CommandError as error:
                    yield Outcome(name, verdict=Verdict(violations=[str(error)]), is_over=False)
                    return
                report(f"  {outcome.summarize()}")
                yield outcome


def inject_alone(cluster: Cluster, name: str, report: Report) -> None:
    """Inject a fault without a load, heal it, and report when the cluster is stable; raises CommandError."""
    fault = FAULTS[name]
    with cluster.network.hosts[BUYERS].inside():
        make_commits()
        fault.prepare(cluster)
        with ExitStack() as stack:
            injected = stack.enter_context(fault.begin(cluster))
            report(f"{fault.meaning}: {injected.detail}; held for {fault.hold_seconds:g} s")
            cluster.ending.sleep(fault.hold_seconds)
        report(f"healed ({injected.detail}); stable after {cluster.wait_for_stable():.1f} s more")


@dataclass
class Run:
    """The load on a cluster, and what it was told so far."""

    cluster: Cluster
    ledger: Ledger
    buyers: Buyers
    #: That outside the cluster is the first one.
    writers: list[Writer]

    def warm_up(self) -> None:
        """Return when some more purchases were finished."""
        since = time.monotonic()
        self.cluster.wait(lambda: len(self.ledger.list_since(since)) >= WARM, "the buyers get no orders", WARM_SECONDS)

    def inject(self, name: str, fault: Fault, report: Report) -> Outcome:
        """Inject a fault, hold it, heal it, wait, and check everything."""
        outcome = Outcome(name, bound_seconds=fault.bound_seconds)
        fault.prepare(self.cluster)
        # A fault may need every standby, and meets buyers in the middle of their purchases.
        self.cluster.wait_for_stable()
        self.warm_up()
        redelivered, commits, unanswered = (
            count_redelivered(self.cluster),
            self._count_commits(),
            len(self.buyers.unanswered),
        )
        began = time.monotonic()
        try:
            injected = self._hold(fault, report)
        except Skipped as skipped:
            outcome.skipped, outcome.is_over = str(skipped), False
            return outcome
        outcome.detail = injected.detail
        outcome.stable_seconds = self.cluster.wait_for_stable()
        report(f"  healed, and stable after {outcome.stable_seconds:.1f} s more")
        self.warm_up()
        ended, outcome.load = time.monotonic(), os.getloadavg()[0]
        self.buyers.pause()
        # Connections that nobody used meanwhile are those of a former primary.
        self.cluster.engine.dispose()
        purchases = self.ledger.list_since(began)
        outcome.gap_seconds = find_longest_gap([each.at_seconds for each in purchases], began, ended)
        outcome.commit_gap_seconds = find_longest_gap(self.writers[0].list_moments(), began, ended)
        outcome.purchases = len(purchases)
        outcome.repeated_requests = sum(each.repeats for each in purchases)
        outcome.redelivered_messages = count_redelivered(self.cluster) - redelivered
        outcome.commits = self._count_commits() - commits
        self.writers += injected.writers
        # The whole ledger each time: what one fault left intact, a later one may lose.
        outcome.verdict = verify(self.cluster, self.ledger.purchases, self.buyers.unanswered[unanswered:], self.writers)
        self.buyers.resume()
        return outcome

    def _hold(self, fault: Fault, report: Report) -> Injected:
        with fault.begin(self.cluster) as injected:
            report(f"  {injected.detail}; held for {fault.hold_seconds:g} s")
            self.cluster.ending.sleep(fault.hold_seconds)
        return injected

    def _count_commits(self) -> int:
        return sum(len(writer.acknowledged) for writer in self.writers)
