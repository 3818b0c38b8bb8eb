"""The database's side of the comparison, read in single statements: each sees one snapshot, none stays open."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, Row, text

from models.money import Money
from models.states import CheckoutState, PaymentStatus
from pipeline.checkouts.conditions import WAS_PLACED
from pipeline.database import transaction
from pipeline.gateways.gateway import Held
from pipeline.reconciliation.findings import LocalRecord

#: Rows read at once: some ten milliseconds.
CHUNK: Final = 1000

_RECORD: Final = """
    c.id AS checkout_id, c.state, greatest(c.updated_at, p.updated_at, h.changed_at, r.changed_at) AS changed_at,
    h.changed_at IS NOT NULL AS has_changes, r.refunded_minor, r.unsettled_minor, p.gateway, p.token, p.reference,
    p.status, p.review->>'message' AS review, l.total_minor AS amount_minor, l.currency AS amount_currency,
    o.total_minor AS order_minor, o.currency AS order_currency
"""
_OF_CHECKOUT: Final = f"""
    LEFT JOIN payments p ON p.checkout_id = c.id
    LEFT JOIN price_locks l ON l.checkout_id = c.id
    LEFT JOIN orders o ON o.checkout_id = c.id AND {WAS_PLACED}
    LEFT JOIN LATERAL (SELECT max(updated_at) AS changed_at FROM order_changes
                       WHERE order_id = o.id AND amount_minor IS NOT NULL) h ON true
    LEFT JOIN LATERAL (SELECT max(updated_at) AS changed_at,
                              coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) AS refunded_minor,
                              coalesce(sum(amount_minor) FILTER (WHERE status IN ('intended', 'unknown')), 0)
                                  AS unsettled_minor
                       FROM refunds WHERE checkout_id = c.id) r ON true
"""

# An object belongs to the checkout whose payment refers to it, else to the one that its metadata names.
NAMED: Final = text(f"""
    SELECT held.reference AS held_reference, {_RECORD}
    FROM unnest(CAST(:references AS text[]), CAST(:ids AS uuid[])) AS held (reference, checkout_id)
    LEFT JOIN payments named ON named.reference = held.reference AND named.gateway = :gateway
    JOIN checkouts c ON c.id = coalesce(named.checkout_id, held.checkout_id)
    {_OF_CHECKOUT}
""")

ONE: Final = text(f"SELECT {_RECORD} FROM checkouts c {_OF_CHECKOUT} WHERE c.id = :id")

# The payment was made in the window, with this gateway; without one, the checkout was started in it.
_WANTED: Final = (
    "coalesce(p.created_at, c.created_at) BETWEEN :since AND :until AND coalesce(p.gateway, :gateway) = :gateway"
)
# A payment made since then belongs to a checkout that has ended since then. The chunk is read first, by the index of
# endings: each chunk costs the same, however many of its rows are wanted.
ENDED: Final = text(f"""
    WITH chunk AS MATERIALIZED (
        SELECT id, ended_at FROM checkouts
        WHERE ended_at >= :ended_at AND (ended_at, id) > (:ended_at, CAST(:id AS uuid))
        ORDER BY ended_at, id LIMIT :chunk
    )
    SELECT chunk.ended_at, {_WANTED} AS is_wanted, {_RECORD}
    FROM chunk JOIN checkouts c ON c.id = chunk.id {_OF_CHECKOUT} ORDER BY chunk.ended_at, chunk.id
""")
REVIEWED: Final = text(f"""
    SELECT {_RECORD} FROM checkouts c {_OF_CHECKOUT} WHERE c.state = 'needs_review' AND {_WANTED}
""")

NOW: Final = text("SELECT now()")


def read_clock(engine: Engine) -> datetime:
    """Return the database's time."""
    with transaction(engine) as connection:
        now: datetime = connection.execute(NOW).scalar_one()
    return now


def read_named(engine: Engine, gateway: str, objects: Sequence[Held]) -> dict[str, LocalRecord]:
    """Return the stored state of the checkouts that these objects belong to, by the object's reference."""
    named = {
        "references": [each.reference for each in objects],
        "ids": [each.checkout_id for each in objects],
        "gateway": gateway,
    }
    with transaction(engine) as connection:
        return {row.held_reference: _read_record(row) for row in connection.execute(NAMED, named)}


def read_one(engine: Engine, checkout_id: UUID) -> LocalRecord:
    """Return the stored state of a checkout that exists."""
    with transaction(engine) as connection:
        return _read_record(connection.execute(ONE, {"id": checkout_id}).one())


def read_judged(engine: Engine, gateway: str, since: datetime, until: datetime) -> Iterator[list[LocalRecord]]:
    """Yield the checkouts that have ended, or need review, with a payment made in this time.

    A checkout without a payment counts from its start.
    """
    window = {"gateway": gateway, "since": since, "until": until}
    with transaction(engine) as connection:
        in_review = connection.execute(REVIEWED, window).all()
    yield [_read_record(row) for row in in_review]
    after = {"ended_at": since, "id": UUID(int=0)}
    while True:
        with transaction(engine) as connection:
            rows = connection.execute(ENDED, {**window, **after, "chunk": CHUNK}).all()
        if not rows:
            return
        yield [_read_record(row) for row in rows if row.is_wanted]
        after = {"ended_at": rows[-1].ended_at, "id": rows[-1].checkout_id}


def _read_record(row: Row[tuple[object, ...]]) -> LocalRecord:
    return LocalRecord(
        checkout_id=row.checkout_id,
        state=CheckoutState(row.state),
        changed_at=row.changed_at,
        gateway=row.gateway,
        token=row.token,
        reference=row.reference,
        status=None if row.status is None else PaymentStatus(row.status),
        amount=None if row.amount_minor is None else Money(row.amount_minor, row.amount_currency),
        order=None if row.order_minor is None else Money(row.order_minor, row.order_currency),
        review=row.review,
        has_changes=row.has_changes,
        refunded_minor=int(row.refunded_minor),
        unsettled_minor=int(row.unsettled_minor),
    )
