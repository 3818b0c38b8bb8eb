"""Charges of placed orders for the comparison: the stored refunds and disputes, and the provider's answer."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, text

from models.money import Money
from models.states import RefundStatus
from pipeline.database import assert_no_transaction, transaction
from pipeline.database.backoff import back_off
from pipeline.database.ids import SLACK, first_id
from pipeline.errors import Code, Unavailable
from pipeline.gateways import Gateway
from pipeline.gateways.charges import Charge, ChargeCall, ChargeRetrieval
from pipeline.gateways.gateway import NO_DETAILS, Misconfigured, Transient, Unknown
from pipeline.reconciliation.charge_rules import LocalCharge, LocalDispute, LocalRefund
from pipeline.reconciliation.findings import LocalRecord
from pipeline.reconciliation.provider_queries import MAX_ATTEMPTS
from pipeline.settings import Settings

REFUNDS: Final = text("""
    SELECT reference, idempotency_key, amount_minor, status FROM refunds WHERE checkout_id = :id ORDER BY id
""")
DISPUTES: Final = text("""
    SELECT c.reference, c.amount_minor, c.outcome ->> 'state' AS state
    FROM order_changes c JOIN orders o ON o.id = c.order_id
    WHERE o.checkout_id = :id AND c.kind = 'dispute' ORDER BY c.id
""")
CHANGED: Final = text("""
    SELECT DISTINCT c.checkout_id FROM order_changes c JOIN payments p ON p.checkout_id = c.checkout_id
    WHERE c.id >= :from_id AND p.gateway = :gateway AND p.reference IS NOT NULL AND c.amount_minor IS NOT NULL
""")


def read_changed(engine: Engine, gateway: str, since: datetime) -> Iterator[UUID]:
    """Yield the checkouts whose orders had a refund, a cancel or a dispute since then, whenever they were placed."""
    wanted = {"from_id": first_id(since, -SLACK), "gateway": gateway}
    with transaction(engine) as connection:
        found = connection.execute(CHANGED, wanted).scalars().all()
    yield from found


def read_stored_charge(engine: Engine, local: LocalRecord) -> LocalCharge:
    """Return the stored refunds and disputes of an order."""
    currency = "" if local.order is None else local.order.currency
    with transaction(engine) as connection:
        refunds = connection.execute(REFUNDS, {"id": local.checkout_id}).all()
        disputes = connection.execute(DISPUTES, {"id": local.checkout_id}).all()
    return LocalCharge(
        tuple(
            LocalRefund(row.reference, row.idempotency_key, Money(row.amount_minor, currency), RefundStatus(row.status))
            for row in refunds
        ),
        tuple(LocalDispute(row.reference, Money(row.amount_minor, currency), row.state) for row in disputes),
    )


def retrieve_charge(gateway: Gateway, local: LocalRecord, settings: Settings) -> Charge | None:
    """Return the charge of an order as it is now; None when the provider does not have the payment.

    Raises Unavailable when the provider gives no definite answer.
    """
    if local.reference is None or local.order is None:
        raise LookupError(f"checkout {local.checkout_id} has no charge: it has no order, or no object at the provider")
    call = ChargeCall(local.checkout_id, local.reference, "", local.order, NO_DETAILS)
    answer: ChargeRetrieval = Unknown("not called")
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            first, longest = settings.retry_seconds, settings.retry_cap_seconds
            time.sleep(back_off(attempt - 1, first_seconds=first, longest_seconds=longest))
        assert_no_transaction()
        answer = gateway.retrieve_charge(call)
        if not isinstance(answer, Transient | Unknown):
            break
    match answer:
        case Charge():
            return answer
        case Misconfigured():
            return None
        case _:
            raise Unavailable(Code.GATEWAY_UNAVAILABLE, reason=answer.error)
