"""The bank's dashboard, and the buyer's bank behind it: what happens to a charge without any call of the engine's.

For tests, the demonstration and the chaos run. Each writes the line of the ledger from which its webhook is made.
"""

from typing import Final
from uuid import uuid4

from sqlalchemy import Engine, text

from pipeline.gateways.charges import DisputeState
from pipeline.gateways.sandbox.charges.desk import add_refund
from pipeline.gateways.sandbox.statements import lock_objects

FAIL: Final = text("""
    WITH failed AS (
        UPDATE sandbox.refunds SET state = 'failed', failure = :failure
        WHERE reference = :refund AND state <> 'failed' RETURNING payment, amount_minor
    ), entered AS (
        INSERT INTO sandbox.entries (reference, kind, amount_minor)
        SELECT payment, 'refund_failed', -amount_minor FROM failed
    )
    UPDATE sandbox.payments p SET refunded_minor = p.refunded_minor - f.amount_minor, status = 'captured'
    FROM failed f WHERE p.reference = f.payment
""")

OPEN: Final = text("""
    WITH opened AS (
        INSERT INTO sandbox.disputes (reference, payment, amount_minor, reason)
        VALUES (:dispute, :reference, :amount_minor, :reason)
    )
    INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES (:reference, 'dispute_opened', :amount_minor)
""")

CLOSE: Final = text("""
    WITH closed AS (
        UPDATE sandbox.disputes SET state = :state WHERE reference = :dispute AND state = 'open'
        RETURNING payment, amount_minor
    )
    INSERT INTO sandbox.entries (reference, kind, amount_minor)
    SELECT payment, 'dispute_' || CAST(:state AS text), amount_minor FROM closed
""")


class Dashboard:
    """What people do at the bank."""

    def __init__(self, engine: Engine) -> None:
        """Take the engine of the bank's database."""
        self._engine = engine

    def refund(self, reference: str, amount_minor: int) -> str:
        """Refund a part of a captured payment; return the refund's reference. Raises ValueError beyond what is left."""
        with self._engine.begin() as connection:
            held = lock_objects(connection, [reference])[0].get(reference)
            if held is None or not 0 < amount_minor <= held.captured_minor - held.refunded_minor:
                raise ValueError(f"{amount_minor} of {reference} cannot be refunded")
            return add_refund(connection, reference, amount_minor, None)

    def fail_refund(self, refund: str, failure: str = "expired_or_canceled_card") -> bool:
        """Let a refund fail that was accepted: the shop has the money again. Return False if it has failed already."""
        with self._engine.begin() as connection:
            return connection.execute(FAIL, {"refund": refund, "failure": failure}).rowcount == 1

    def open_dispute(self, reference: str, amount_minor: int, reason: str = "fraudulent") -> str:
        """Open a dispute as the buyer's bank; return its reference. Raises ValueError beyond what was captured."""
        dispute = f"sbd_{uuid4().hex}"
        values = {"dispute": dispute, "reference": reference, "amount_minor": amount_minor, "reason": reason}
        with self._engine.begin() as connection:
            held = lock_objects(connection, [reference])[0].get(reference)
            if held is None or not 0 < amount_minor <= held.captured_minor:
                raise ValueError(f"{amount_minor} of {reference} cannot be disputed")
            connection.execute(OPEN, values)
        return dispute

    def close_dispute(self, dispute: str, *, won: bool) -> bool:
        """Decide a dispute, for the shop or against it. Return False if it is decided already."""
        state = DisputeState.WON if won else DisputeState.LOST
        with self._engine.begin() as connection:
            return connection.execute(CLOSE, {"dispute": dispute, "state": state}).rowcount == 1
