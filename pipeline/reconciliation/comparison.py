"""Compares the provider with this database, both ways, at any moment and with workers running."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

import structlog
from sqlalchemy import Engine

from pipeline.database.connections import assert_no_transaction
from pipeline.gateways.gateway import Gateway, Held
from pipeline.reconciliation.findings import Comparison, Finding
from pipeline.reconciliation.local_records import CHUNK, read_clock, read_named, read_one, read_resting
from pipeline.reconciliation.provider_queries import retrieve_object
from pipeline.reconciliation.rules import JUDGED, judge, judge_unpaid, miss
from pipeline.settings import Settings

log = structlog.get_logger()

#: Second retrievals at once: one takes a provider some tenths of a second.
RETRIEVAL_THREADS: Final = 8
#: A checkout that changed during its retrieval is retrieved again, but not for ever.
RETRIEVALS: Final = 3

#: Told what is being done ("listed", "retrieved again") and how many objects it has been done for.
OnProgress = Callable[[str, int], None]


def reconcile(
    engine: Engine, gateway: Gateway, settings: Settings, since: datetime, *, report: OnProgress | None = None
) -> Comparison:
    """Compare all objects and payments made since then. Reads only.

    The provider is read first, in chunks, and our side after each: what looks wrong then may only have changed in
    between, so a difference on a checkout that has changed since the beginning is retrieved again before it is
    reported. Raises Unavailable when the provider does not answer: half a list proves nothing.
    """
    run = _Run(engine, gateway, settings, read_clock(engine), report or _ignore)
    run.read_provider(since)
    run.read_payments(since)
    return Comparison(tuple(run.confirm()), run.objects, run.payments)


def _ignore(_what: str, _count: int) -> None:
    pass


@dataclass(slots=True)
class _Run:
    engine: Engine
    gateway: Gateway
    settings: Settings
    began_at: datetime
    report: OnProgress
    objects: int = 0
    payments: int = 0
    findings: list[Finding] = field(default_factory=list)
    #: References of all objects listed: some 100 bytes each.
    listed: set[str] = field(default_factory=set)

    def read_provider(self, since: datetime) -> None:
        """Judge every object that the provider lists."""
        objects = self.gateway.list_held(since)
        while chunk := self._next(objects):
            # A provider's pages may overlap when something is made between two of them.
            new = [
                each for each in {each.reference: each for each in chunk}.values() if each.reference not in self.listed
            ]
            self.objects += len(new)
            self.listed.update(each.reference for each in new)
            local = read_named(self.engine, self.gateway.name, new)
            self._add(judge(each, local.get(each.reference)) for each in new)
            self.report("listed", self.objects)

    def read_payments(self, since: datetime) -> None:
        """Judge what the provider did not list: nothing that is newer than its list can be missing from it."""
        for local in read_resting(self.engine, self.gateway.name, since, self.began_at):
            self.payments += sum(each.gateway is not None for each in local)
            self._add(judge_unpaid(each) for each in local if each.reference is None)
            self._add(miss(each) for each in local if each.reference is not None and each.reference not in self.listed)

    def confirm(self) -> Iterator[Finding]:
        """Give the findings that stand, after a second look where things may have moved, or the list had an edge."""
        retrieved = 0
        with ThreadPoolExecutor(RETRIEVAL_THREADS, thread_name_prefix="reconcile") as pool:
            try:
                for finding in pool.map(self._confirm, self.findings):
                    retrieved += 1
                    self.report("checked", retrieved)
                    if finding is not None:
                        yield finding
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _next(self, objects: Iterator[Held]) -> list[Held]:
        assert_no_transaction()
        return list(islice(objects, CHUNK))

    def _add(self, findings: Iterator[Finding | None]) -> None:
        self.findings += [each for each in findings if each is not None]

    def _confirm(self, finding: Finding) -> Finding | None:
        local, reference = finding.local, finding.reference
        if local is None or reference is None:
            return finding
        if finding.held is not None and local.changed_at < self.began_at:
            return finding
        for _ in range(RETRIEVALS):
            held = retrieve_object(self.gateway, reference, local, finding.held, self.settings)
            before, local = local, read_one(self.engine, local.checkout_id)
            if local.changed_at == before.changed_at:
                break
            log.info("reconcile.changed", checkout_id=str(local.checkout_id))
        if held is not None:
            return judge(held, local)
        return miss(local) if local.state in JUDGED and local.reference == reference else None
