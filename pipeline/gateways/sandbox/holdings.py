"""Lists the bank's objects for reconciliation, and voids expired authorisations."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from models.money import Money
from models.states import PaymentStatus
from pipeline.errors import Code, Unavailable
from pipeline.gateways.gateway import Held

log = structlog.get_logger(__name__)

#: Objects read at once: some ten milliseconds, and no connection is in use while the caller works on them.
CHUNK: Final = 2000

# By the primary key, so that every chunk costs the same. An expired authorisation is shown as cancelled.
READ_CHUNK: Final = text(
    "SELECT reference, checkout_id, currency, amount_minor, captured_minor, refunded_minor, created_at,"
    " CASE WHEN status = 'authorized' AND authorized_until <= clock_timestamp() THEN 'cancelled' ELSE status END"
    " AS status, (SELECT coalesce(sum(d.amount_minor), 0)::bigint FROM sandbox.disputes d"
    " WHERE d.payment = payments.reference AND d.state IN ('open', 'lost')) AS disputed_minor"
    " FROM sandbox.payments WHERE reference > :after AND created_at >= :since"
    " ORDER BY reference LIMIT :chunk"
)

EXPIRE: Final = text(
    """
    WITH expired AS (
        SELECT reference FROM sandbox.payments WHERE status = 'authorized' AND authorized_until <= clock_timestamp()
        ORDER BY reference FOR NO KEY UPDATE
    ), cancelled AS (
        UPDATE sandbox.payments p SET status = 'cancelled' FROM expired WHERE p.reference = expired.reference
        RETURNING p.reference, p.authorized_minor
    )
    INSERT INTO sandbox.entries (reference, kind, amount_minor)
    SELECT reference, 'cancel', authorized_minor FROM cancelled
    """
)


def list_objects(engine: Engine, since: datetime) -> Iterator[Held]:
    """Yield every object created since then, by reference. Raises Unavailable when the database fails."""
    after = ""
    while True:
        try:
            with engine.connect() as connection:
                rows = connection.execute(READ_CHUNK, {"after": after, "since": since, "chunk": CHUNK}).all()
        except SQLAlchemyError as error:
            log.warning("sandbox.list_failed", error=str(error))
            raise Unavailable(Code.GATEWAY_UNAVAILABLE, reason="its database failed") from error
        for row in rows:
            yield Held(
                reference=row.reference,
                checkout_id=row.checkout_id,
                status=PaymentStatus(row.status),
                amount=Money(row.amount_minor, row.currency),
                captured_minor=row.captured_minor,
                refunded_minor=row.refunded_minor,
                created_at=row.created_at,
                disputed_minor=row.disputed_minor,
            )
        if len(rows) < CHUNK:
            return
        after = rows[-1].reference


def expire_authorizations(engine: Engine) -> int:
    """Void all expired authorisations, each with its line in the ledger; return how many."""
    with engine.begin() as connection:
        return connection.execute(EXPIRE).rowcount
