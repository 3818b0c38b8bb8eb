"""Compares the provider with the database, both ways, at any time and with workers running."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Engine

from pipeline.database import assert_no_transaction
from pipeline.gateways import Gateway
from pipeline.gateways.gateway import Held
from pipeline.reconciliation.charge_records import read_changed, read_stored_charge, retrieve_charge
from pipeline.reconciliation.charge_rules import judge_charge
from pipeline.reconciliation.findings import Comparison, Finding, FindingKind
from pipeline.reconciliation.local_records import CHUNK, read_clock, read_judged, read_named, read_one
from pipeline.reconciliation.provider_queries import retrieve_object
from pipeline.reconciliation.rules import JUDGED, judge, judge_missing, judge_unpaid, needs_charge
from pipeline.settings import Settings

log = structlog.get_logger()

#: Retrievals at once: one takes some tenths of a second.
RETRIEVAL_THREADS: Final = 8
#: A checkout that changed during its retrieval is retrieved again, but not for ever.
RETRIEVALS: Final = 3

#: Findings about the amount of a placed order, and those that say which refund it is.
OF_AMOUNTS: Final = frozenset({FindingKind.AMOUNT_DIFFERS, FindingKind.ORDER_WITHOUT_CHARGE})
OF_REFUNDS: Final = frozenset({FindingKind.REFUND_NOT_RECORDED, FindingKind.REFUND_MISSING, FindingKind.REFUND_DIFFERS})

#: Receives what is being done ("listed", "checked") and for how many objects it is done.
OnProgress = Callable[[str, int], None]


def reconcile(
    engine: Engine, gateway: Gateway, settings: Settings, since: datetime, *, report: OnProgress | None = None
) -> Comparison:
    """Compare all objects and payments made since then, and what was refunded or disputed since then. Reads only.

    The provider is read first, in chunks, and the database after each chunk. A difference may only be a change in
    between, so the object of a checkout that has changed since the beginning is retrieved before the difference is
    reported. Raises Unavailable when the provider does not answer: half a list proves nothing.
    """
    run = _Run(engine, gateway, settings, read_clock(engine), report or _ignore)
    run.read_provider(since)
    run.read_payments(since)
    run.read_changes(since)
    of_objects, of_charges = list(run.confirm()), list(run.compare_charges())
    explained = {each.checkout_id for each in of_charges if each.kind in OF_REFUNDS}
    left = [each for each in of_objects if each.kind not in OF_AMOUNTS or each.checkout_id not in explained]
    return Comparison((*left, *of_charges), run.objects, run.payments)


def compare_charge(engine: Engine, gateway: Gateway, settings: Settings, checkout_id: UUID) -> list[Finding]:
    """Compare the refunds and disputes of one order. Raises Unavailable when the provider does not answer.

    The provider is read first, and again when something of the order has changed meanwhile.
    """
    local = read_one(engine, checkout_id)
    for _ in range(RETRIEVALS):
        if local.reference is None or local.order is None:
            return []
        charge = retrieve_charge(gateway, local, settings)
        stored = read_stored_charge(engine, local)
        before, local = local, read_one(engine, checkout_id)
        if local.changed_at == before.changed_at:
            break
        log.info("reconcile.changed", checkout_id=str(checkout_id))
    # That the provider has no such payment is a finding of its own.
    return [] if charge is None else judge_charge(charge, local, stored)


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
    #: Placed orders of which something was refunded or disputed, here or at the provider.
    changed: dict[UUID, None] = field(default_factory=dict)

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
            for each in new:
                if (own := local.get(each.reference)) is not None and needs_charge(each, own):
                    self.changed[own.checkout_id] = None
            self.report("listed", self.objects)

    def read_payments(self, since: datetime) -> None:
        """Judge payments that the provider did not list; those newer than its list cannot be missing from it."""
        for local in read_judged(self.engine, self.gateway.name, since, self.began_at):
            self.payments += sum(each.gateway is not None for each in local)
            self._add(judge_unpaid(each) for each in local if each.reference is None)
            paid = [each for each in local if each.reference is not None]
            self._add(judge_missing(each) for each in paid if each.reference not in self.listed)

    def read_changes(self, since: datetime) -> None:
        """Add the orders that were changed since then, also those whose payment is older."""
        self.changed.update(dict.fromkeys(read_changed(self.engine, self.gateway.name, since)))

    def compare_charges(self) -> Iterator[Finding]:
        """Yield what differs in the refunds and disputes of these orders."""
        with ThreadPoolExecutor(RETRIEVAL_THREADS, thread_name_prefix="reconcile") as pool:
            try:
                for compared, findings in enumerate(pool.map(self._compare_charge, self.changed), start=1):
                    self.report("orders compared", compared)
                    yield from findings
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def confirm(self) -> Iterator[Finding]:
        """Yield the confirmed findings: an object is retrieved where the checkout has changed or the list lacks it."""
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

    def _compare_charge(self, checkout_id: UUID) -> list[Finding]:
        return compare_charge(self.engine, self.gateway, self.settings, checkout_id)

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
            if held is finding.held and local.refunded_minor + local.unsettled_minor > 0 and finding.kind in OF_AMOUNTS:
                # The list is older than a refund that was made meanwhile: they are compared one by one.
                return None
            return judge(held, local)
        return judge_missing(local) if local.state in JUDGED and local.reference == reference else None
