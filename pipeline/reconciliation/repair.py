"""Settles what the comparison with the provider found, where a rule is safe. Everything else is for an operator."""

import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Engine

from models.states import PaymentStatus
from pipeline.checkouts.events import write_events
from pipeline.database.connections import transaction
from pipeline.errors import Code, Unavailable
from pipeline.gateways.gateway import Gateway
from pipeline.payments.payment import LIVE
from pipeline.reconciliation.findings import Finding, LocalRecord, Remedy
from pipeline.reconciliation.local_records import read_one
from pipeline.reconciliation.orphaned_payments import Repair, void_or_refund
from pipeline.reconciliation.provider_queries import retrieve_object
from pipeline.saga.payment_poller import PaymentPoller
from pipeline.saga.unwind import Unwinder
from pipeline.settings import Settings

#: A batch is worked on for as many leases: a worker that was at the same payment is done after one.
PATIENCE_LEASES: Final = 2

#: Told of each repair as it is made.
OnRepair = Callable[[Repair], None]


class Repairer:
    """Safe to run twice, at once, and beside the workers: whatever it calls, it calls with keys or under leases."""

    def __init__(
        self, database: Engine, gateway: Gateway, poller: PaymentPoller, unwinder: Unwinder, settings: Settings
    ) -> None:
        """Take the database and the provider, what polls payments, and what voids or refunds them."""
        self._database = database
        self._gateway = gateway
        self._poller = poller
        self._unwinder = unwinder
        self._settings = settings

    def repair(self, findings: Sequence[Finding], report: OnRepair | None = None) -> list[Repair]:
        """Settle those of these findings that have a rule; what was settled is an event on its checkout.

        Raises Unavailable when the provider stops answering; what was settled until then stays settled.
        """
        repairs: list[Repair] = []

        def note(repair: Repair) -> None:
            repairs.append(repair)
            if report is not None:
                report(repair)

        retrievals = [each for each in findings if each.remedy is Remedy.RETRIEVE]
        for start in range(0, len(retrievals), self._settings.batch_size):
            for finding, local in self._settle(retrievals[start : start + self._settings.batch_size]):
                note(self._report(finding, local))
        for finding in findings:
            if finding.remedy is Remedy.VOID_OR_REFUND:
                note(void_or_refund(finding, self._database, self._gateway, self._settings))
        return repairs

    def _settle(self, findings: Sequence[Finding]) -> list[tuple[Finding, LocalRecord | None]]:
        """Apply the engine's rule for late funds to these checkouts.

        Returns how each stands after it; None when the provider did not say.
        """
        left = {each.checkout_id for each in findings}
        seen: set[UUID] = set()
        stand: dict[UUID, LocalRecord] = {}
        ends_at = time.monotonic() + PATIENCE_LEASES * self._settings.gateway_lease_seconds
        while left:
            if unseen := sorted(left - seen):
                seen |= self._poller.run(unseen)
            self._unwinder.run(sorted(left & seen))
            stand |= {id_: read_one(self._database, id_) for id_ in left & seen}
            left -= {id_ for id_ in left & seen if stand[id_].review is not None or stand[id_].status not in LIVE}
            if time.monotonic() > ends_at:
                break
            if left:
                time.sleep(min(self._settings.retry_seconds, self._settings.retry_cap_seconds))
        if not seen:
            raise Unavailable(Code.GATEWAY_UNAVAILABLE, reason="no payment was retrieved")
        return [(each, stand.get(each.checkout_id)) for each in findings]

    def _report(self, finding: Finding, local: LocalRecord | None) -> Repair:
        """Report the result for a finding: it is settled when the provider shows a final status and it is the stored
        one.
        """
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
