"""Payment objects that name a checkout of this database and are not its own: voided or refunded by their own
reference.
"""

from dataclasses import dataclass
from typing import Final, assert_never

from sqlalchemy import Engine, text

from models.money import Money
from models.states import TERMINAL, PaymentStatus
from pipeline.checkouts.events import write_events
from pipeline.checkouts.locks import lock_checkouts
from pipeline.database import transaction
from pipeline.gateways import Gateway
from pipeline.gateways.gateway import (
    ActionRequired,
    Answer,
    Call,
    Declined,
    Held,
    Misconfigured,
    Succeeded,
    Transient,
    Unknown,
)
from pipeline.reconciliation.findings import Finding, LocalRecord, kept
from pipeline.reconciliation.local_records import read_one
from pipeline.reconciliation.provider_queries import insist, retrieve_object
from pipeline.settings import Settings

IS_SETTLED: Final = text("""
    SELECT EXISTS (SELECT FROM events WHERE checkout_id = :id AND kind = 'payment.orphan_settled'
                                        AND data->>'reference' = :reference)
""")


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done about a finding, and the amount that it concerned; or, with a `reason`, why it stands."""

    finding: Finding
    did: str
    amount: Money | None = None
    reason: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the finding is gone."""
        return self.reason is None


def void_or_refund(finding: Finding, engine: Engine, gateway: Gateway, settings: Settings) -> Repair:
    """Cancel the object, or refund what it captured. No transaction is open meanwhile.

    Safe twice: the key names the object. Raises Unavailable when it matters how the checkout's own object stands and
    the provider does not say.
    """
    held = finding.held
    if held is None:
        raise ValueError(f"{finding.kind} has no object to void or refund")
    local = read_one(engine, finding.checkout_id)
    if local.reference == held.reference or local.state not in TERMINAL:
        return Repair(finding, "left alone", reason="the checkout has changed")
    if not _is_paid_otherwise(local, gateway, settings):
        return Repair(
            finding, "left alone", reason="the order's own payment is not captured, and this may be what pays it"
        )
    took = held.status is PaymentStatus.CAPTURED
    amount = Money(held.captured_minor, held.amount.currency) if took else held.amount
    key = f"reconcile:{held.reference}:{'refund' if took else 'cancel'}"
    call = Call(local.checkout_id, key, amount, local.token or "", held.reference)
    answer = insist(gateway.refund if took else gateway.cancel, call, settings)
    if not isinstance(answer, Succeeded):
        return Repair(finding, "not settled", reason=_explain(answer))
    repair = Repair(finding, "refunded" if took else "cancelled", kept(held) if took else held.amount)
    _write(engine, repair, held, answer.status)
    return repair


def _is_paid_otherwise(local: LocalRecord, gateway: Gateway, settings: Settings) -> bool:
    """Return whether no order depends on an orphaned payment: there is none, it costs nothing, or its own object was
    captured.
    """
    if local.order is None or local.order.minor == 0:
        return True
    if local.reference is None or local.gateway != gateway.name:
        return False
    own = retrieve_object(gateway, local.reference, local, None, settings)
    return own is not None and own.status is PaymentStatus.CAPTURED


def _explain(answer: Answer) -> str:
    match answer:
        case Declined():
            return f"the provider refuses: {answer.code}"
        case Misconfigured() | Transient() | Unknown():
            return f"the provider answers {answer.error}"
        case ActionRequired() | Succeeded():
            return "the provider answers what was not asked"
        case _:
            assert_never(answer)


def _write(engine: Engine, repair: Repair, held: Held, status: PaymentStatus) -> None:
    id_ = repair.finding.checkout_id
    facts = {"reference": held.reference, "did": repair.did, "amount": str(repair.amount), "status": status}
    with transaction(engine) as connection:
        # Under the row lock of its checkout, so that two at once leave one event.
        lock_checkouts(connection, [id_])
        if not connection.execute(IS_SETTLED, {"id": id_, "reference": held.reference}).scalar_one():
            write_events(connection, "payment.orphan_settled", [id_], data={id_: {"was": held.status, **facts}})
