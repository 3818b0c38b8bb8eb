"""Records refunds and disputes of placed orders that the provider shows and the database does not."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Engine

from pipeline.checkouts.events import write_events
from pipeline.database import transaction
from pipeline.gateways import Gateway
from pipeline.orders.charges import ChargeReader
from pipeline.reconciliation.comparison import compare_charge
from pipeline.reconciliation.findings import Finding, FindingKind
from pipeline.reconciliation.orphaned_payments import Repair
from pipeline.settings import Settings

#: Reads of a batch: another worker may read the same charge, for one lease at most.
MAX_READS: Final = 5

#: What a read has done about each kind of finding.
_DID: Final = {
    FindingKind.REFUND_NOT_RECORDED: "recorded as a change",
    FindingKind.REFUND_MISSING: "reopened for review",
    FindingKind.DISPUTE_NOT_RECORDED: "recorded",
}


def record_charges(
    findings: Sequence[Finding], engine: Engine, gateway: Gateway, charges: ChargeReader, settings: Settings
) -> Iterator[Repair]:
    """Read the charges of these findings, and yield what has become of each. Safe to repeat, and beside workers."""
    left = {each.checkout_id for each in findings}
    for attempt in range(MAX_READS):
        if attempt:
            time.sleep(min(settings.retry_seconds * 2**attempt, settings.retry_cap_seconds))
        left -= charges.run(sorted(left))
        if not left:
            break
    remaining = {
        checkout_id: {(each.kind, each.reference) for each in compare_charge(engine, gateway, settings, checkout_id)}
        for checkout_id in {each.checkout_id for each in findings} - left
    }
    for finding in findings:
        if finding.checkout_id in left:
            yield Repair(finding, "not settled", reason="the provider did not answer")
        elif (finding.kind, finding.reference) in remaining[finding.checkout_id]:
            reason = "another refund of this order must be settled first: it is tried again"
            yield Repair(finding, "not settled", reason=reason)
        else:
            amount = None if finding.difference is None else finding.difference.amount
            repair = Repair(finding, _DID[finding.kind], amount)
            _write(engine, repair)
            yield repair


def _write(engine: Engine, repair: Repair) -> None:
    id_ = repair.finding.checkout_id
    facts = {
        "finding": repair.finding.kind,
        "reference": repair.finding.reference,
        "did": repair.did,
        "amount": str(repair.amount),
    }
    with transaction(engine) as connection:
        write_events(connection, "payment.reconciled", [id_], data={id_: facts})
