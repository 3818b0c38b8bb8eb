"""Settles the findings for which there is a safe rule. All others are for an operator."""

import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Engine

from models.states import PaymentStatus
from pipeline.checkouts.events import write_events
from pipeline.database import transaction
from pipeline.errors import Code, Unavailable
from pipeline.gateways import Gateway
from pipeline.orders.charges import ChargeReader
from pipeline.payments.payment import LIVE
from pipeline.reconciliation.charge_repair import record_charges
from pipeline.reconciliation.findings import Finding, LocalRecord, Remedy
from pipeline.reconciliation.local_records import read_one
from pipeline.reconciliation.orphaned_payments import Repair, void_or_refund
from pipeline.reconciliation.provider_queries import retrieve_object
from pipeline.saga import PaymentPoller, Unwinder
from pipeline.settings import Settings

#: The longest work on a batch, in leases: another worker with the same payment needs at most one.
MAX_LEASES: Final = 2

#: Receives each repair as it is made.
OnRepair = Callable[[Repair], None]


class Repairer:
    """Repairs findings. Safe to repeat, and beside other runs and the workers: all calls have keys or leases."""

    def __init__(
        self,
        database: Engine,
        gateway: Gateway,
        poller: PaymentPoller,
        unwinder: Unwinder,
        charges: ChargeReader,
        settings: Settings,
    ) -> None:
        """Take the database and the provider, what polls payments, what voids or refunds them, what reads orders'."""
        self._database = database
        self._gateway = gateway
        self._poller = poller
        self._unwinder = unwinder
        self._charges = charges
        self._settings = settings

    def repair(self, findings: Sequence[Finding], report: OnRepair | None = None) -> list[Repair]:
        """Settle those of these findings that have a rule; each settled one becomes an event of its checkout.

        Raises Unavailable when the provider stops answering; what was settled until then stays settled.
        """
        repairs: list[Repair] = []

        def add(repair: Repair) -> None:
            repairs.append(repair)
            if report is not None:
                report(repair)

        retrievals = [each for each in findings if each.remedy is Remedy.RETRIEVE]
        for start in range(0, len(retrievals), self._settings.batch_size):
            for finding, local in self._settle(retrievals[start : start + self._settings.batch_size]):
                add(self._report(finding, local))
        for finding in findings:
            if finding.remedy is Remedy.VOID_OR_REFUND:
                add(void_or_refund(finding, self._database, self._gateway, self._settings))
        differing = [each for each in findings if each.remedy is Remedy.READ_CHARGE]
        for start in range(0, len(differing), self._settings.batch_size):
            chunk = differing[start : start + self._settings.batch_size]
            for repair in record_charges(chunk, self._database, self._gateway, self._charges, self._settings):
                add(repair)
        return repairs

    def _settle(self, findings: Sequence[Finding]) -> list[tuple[Finding, LocalRecord | None]]:
        """Apply the engine's rule for late funds to these checkouts.

        Return the stored state of each after it; None when the provider did not answer.
        """
        left = {each.checkout_id for each in findings}
        retrieved: set[UUID] = set()
        records: dict[UUID, LocalRecord] = {}
        ends_at = time.monotonic() + MAX_LEASES * self._settings.gateway_lease_seconds
        while left:
            if missing := sorted(left - retrieved):
                retrieved |= self._poller.run(missing)
            self._unwinder.run(sorted(left & retrieved))
            records |= {id_: read_one(self._database, id_) for id_ in left & retrieved}
            left -= {
                id_ for id_ in left & retrieved if records[id_].review is not None or records[id_].status not in LIVE
            }
            if time.monotonic() > ends_at:
                break
            if left:
                time.sleep(min(self._settings.retry_seconds, self._settings.retry_cap_seconds))
        if not retrieved:
            raise Unavailable(Code.GATEWAY_UNAVAILABLE, reason="no payment was retrieved")
        return [(each, records.get(each.checkout_id)) for each in findings]

    def _report(self, finding: Finding, local: LocalRecord | None) -> Repair:
        """Return the result for a finding: it is settled when the provider's status is final and the stored one."""
        if local is None:
            return Repair(finding, "not settled", reason="the provider did not answer")
        if local.review is not None:
            return Repair(finding, "not settled", reason=local.review)
        if local.reference is None or local.status in LIVE:
            return Repair(finding, "not settled", reason="it is being retried")
        held = retrieve_object(self._gateway, local.reference, local, finding.held, self._settings)
        if held is None or held.status is not local.status:
            return Repair(
                finding, "not settled", reason=f"the stored status is {local.status}, and the provider's is not"
            )
        if finding.kept is not None and finding.kept.minor > 0:
            repair = Repair(finding, "refunded", finding.kept)
        elif finding.authorized is not None:
            repair = Repair(finding, "voided", finding.authorized)
        else:
            repair = Repair(finding, f"recorded as {local.status}", held.amount)
        was = None if finding.local is None else finding.local.status
        self._write(repair, was, held.status)
        return repair

    def _write(self, repair: Repair, was: PaymentStatus | None, status: PaymentStatus) -> None:
        finding = repair.finding
        facts = {
            "finding": finding.kind,
            "reference": finding.reference,
            "did": repair.did,
            "amount": str(repair.amount),
            "was": was,
            "status": status,
        }
        with transaction(self._database) as connection:
            write_events(connection, "payment.reconciled", [finding.checkout_id], data={finding.checkout_id: facts})
