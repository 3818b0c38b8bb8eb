"""Changes of orders, with their lines and their refunds at the provider."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from models.states import ChangeKind, ChangeState, LinePurpose, RefundStatus
from pipeline.errors import Code, NotFound
from pipeline.orders.reading.views import ChangedLine, ChangeView, RefundView

_CHANGES: Final = """
    SELECT c.id, c.order_id, c.checkout_id, c.kind, c.state, c.amount_minor, c.delivery_minor, o.currency, c.reason,
           c.actor, c.reference, c.options, c.outcome, c.attempts, c.last_error, c.created_at, c.due_at, c.ended_at
    FROM order_changes c JOIN orders o ON o.id = c.order_id
"""
OF_ORDER: Final = text(f"{_CHANGES} WHERE c.order_id = :id ORDER BY c.id")
ONE: Final = text(f"""
    {_CHANGES} WHERE c.id = :id AND (CAST(:owner AS text) IS NULL OR c.owner = :owner)
        AND (CAST(:order_id AS uuid) IS NULL OR c.order_id = :order_id)
""")

LINES: Final = text("""
    SELECT l.change_id, l.purpose, l.line, o.sku, l.quantity, l.amount_minor, n.code AS location
    FROM order_change_lines l JOIN order_changes c ON c.id = l.change_id
    JOIN order_lines o ON o.order_id = c.order_id AND o.line = l.line
    LEFT JOIN locations n ON n.id = l.location_id
    WHERE l.change_id = ANY(CAST(:ids AS uuid[])) ORDER BY l.change_id, l.purpose, l.line, n.code
""")

REFUNDS: Final = text("""
    SELECT change_id, n, status, amount_minor, reference, attempts, code, created_at, updated_at
    FROM refunds WHERE change_id = ANY(CAST(:ids AS uuid[])) ORDER BY change_id, n
""")


def read_change(
    connection: Connection, change_id: UUID, owner: str | None, *, order_id: UUID | None = None
) -> ChangeView:
    """Return a change, of this order if one is named; `owner` is None for operators. NotFound (CHANGE_UNKNOWN)."""
    wanted = {"id": change_id, "owner": owner, "order_id": order_id}
    row = connection.execute(ONE, wanted).mappings().one_or_none()
    if row is None:
        raise NotFound(Code.CHANGE_UNKNOWN, change_id=str(change_id))
    return _view(connection, [row])[0]


def list_changes(connection: Connection, order_id: UUID) -> tuple[ChangeView, ...]:
    """Return the changes of an order, oldest first."""
    rows = connection.execute(OF_ORDER, {"id": order_id}).mappings().all()
    return _view(connection, rows) if rows else ()


def load_changed_lines(connection: Connection, change_ids: Sequence[UUID]) -> dict[UUID, list[ChangedLine]]:
    """Return the lines of these changes, by purpose, line and location."""
    lines: dict[UUID, list[ChangedLine]] = defaultdict(list)
    for row in connection.execute(LINES, {"ids": list(change_ids)}).mappings():
        fields = {name: row[name] for name in ("line", "sku", "quantity", "amount_minor", "location")}
        lines[row["change_id"]].append(ChangedLine(purpose=LinePurpose(row["purpose"]), **fields))
    return lines


def _view(connection: Connection, rows: Sequence[RowMapping]) -> tuple[ChangeView, ...]:
    ids = {"ids": [row["id"] for row in rows]}
    lines = load_changed_lines(connection, ids["ids"])
    refunds: dict[UUID, list[RefundView]] = defaultdict(list)
    for row in connection.execute(REFUNDS, ids).mappings():
        fields = {name: row[name] for name in RefundView.__dataclass_fields__}
        refunds[row["change_id"]].append(RefundView(**fields | {"status": RefundStatus(row["status"])}))
    return tuple(
        ChangeView(
            **dict(row) | {"kind": ChangeKind(row["kind"]), "state": ChangeState(row["state"])},
            lines=tuple(lines[row["id"]]),
            refunds=tuple(refunds[row["id"]]),
        )
        for row in rows
    )
