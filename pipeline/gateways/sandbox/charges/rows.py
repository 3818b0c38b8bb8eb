"""The bank's refunds and disputes as rows."""

from typing import Any, Final

from sqlalchemy import Connection, Row, text

from models.money import Money
from pipeline.gateways.charges import Charge, ChargeDispute, ChargeRefund, DisputeState, RefundState

PAYMENT: Final = text("SELECT currency, captured_minor FROM sandbox.payments WHERE reference = :reference")
REFUNDS: Final = text("""
    SELECT reference, amount_minor, state, operation_id, created_at, failure FROM sandbox.refunds
    WHERE payment = :reference ORDER BY created_at, reference
""")
REFUND: Final = text("""
    SELECT r.reference, r.amount_minor, r.state, r.operation_id, r.created_at, r.failure, p.currency
    FROM sandbox.refunds r JOIN sandbox.payments p ON p.reference = r.payment
    WHERE r.operation_id = :key AND r.payment = :reference
""")
DISPUTES: Final = text("""
    SELECT reference, amount_minor, state, reason, created_at FROM sandbox.disputes
    WHERE payment = :reference ORDER BY created_at, reference
""")

ADD_REFUND: Final = text("""
    WITH made AS (
        INSERT INTO sandbox.refunds (reference, payment, amount_minor, operation_id, created_at)
        VALUES (:refund, :reference, :amount_minor, :key, clock_timestamp())
    ), entered AS (
        INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES (:reference, 'refund', :amount_minor)
    )
    UPDATE sandbox.payments
    SET refunded_minor = refunded_minor + :amount_minor,
        status = CASE WHEN refunded_minor + :amount_minor = captured_minor THEN 'refunded' ELSE status END
    WHERE reference = :reference
""")


def read_charge(connection: Connection, reference: str) -> Charge | None:
    """Return a captured payment with its refunds and disputes; None if there is none."""
    wanted = {"reference": reference}
    row = connection.execute(PAYMENT, wanted).one_or_none()
    if row is None or not row.captured_minor:
        return None
    return Charge(
        reference,
        Money(row.captured_minor, row.currency),
        tuple(read_refund(each, row.currency) for each in connection.execute(REFUNDS, wanted)),
        tuple(
            ChargeDispute(
                each.reference,
                Money(each.amount_minor, row.currency),
                DisputeState(each.state),
                each.reason,
                each.created_at,
            )
            for each in connection.execute(DISPUTES, wanted)
        ),
    )


def find_refund(connection: Connection, reference: str, key: str) -> ChargeRefund | None:
    """Return the refund that was made with this key; None if there is none."""
    row = connection.execute(REFUND, {"reference": reference, "key": key}).one_or_none()
    return None if row is None else read_refund(row, row.currency)


def read_refund(row: Row[Any], currency: str) -> ChargeRefund:
    """Return the refund of a row."""
    return ChargeRefund(
        row.reference,
        Money(row.amount_minor, currency),
        RefundState(row.state),
        row.operation_id,
        row.created_at,
        row.failure,
    )
