"""Everything about one checkout, in order: state, reservations, payment, events, webhooks."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.intake import Status, read_status

# Each query uses an index on the checkout's id, or on the id of one of its rows.
_SECTIONS: Final[dict[str, str]] = {
    "cart": """
        SELECT l.line, l.sku, l.quantity, l.unit_price_minor AS own_price_minor, c.state AS cart_state
        FROM checkouts k JOIN carts c ON c.id = k.cart_id JOIN cart_lines l ON l.cart_id = c.id
        WHERE k.id = :id ORDER BY l.line""",
    "reservations": """
        SELECT r.line, v.sku, l.code AS location, r.quantity, r.state
        FROM reservations r JOIN variants v ON v.id = r.variant_id JOIN locations l ON l.id = r.location_id
        WHERE r.checkout_id = :id ORDER BY r.line, l.code""",
    "price lock": """
        SELECT subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, currency, locked_at, voided_at
        FROM price_locks WHERE checkout_id = :id""",
    "coupons": """
        SELECT code, customer, redeemed_at, returned_at FROM redemptions WHERE checkout_id = :id ORDER BY code""",
    "payment": """
        SELECT gateway, reference, status, attempts, authorized_until, created_at, updated_at
        FROM payments WHERE checkout_id = :id""",
    "payment operations": """
        SELECT kind, n, status, amount_minor, attempts, code, last_error, created_at, updated_at
        FROM payment_operations WHERE checkout_id = :id ORDER BY id""",
    "order": """
        SELECT number, state, total_minor, created_at, placed_at, cancelled_at FROM orders WHERE checkout_id = :id""",
    "events": """
        SELECT at, kind, phase, data FROM events WHERE checkout_id = :id ORDER BY id""",
    "provider's webhooks": """
        SELECT n.received_at, n.kind, n.status, n.attempts, n.last_error
        FROM payments p JOIN webhook_inbox n ON n.reference = p.reference AND n.gateway = p.gateway
        WHERE p.checkout_id = :id ORDER BY n.received_at""",
    "outbound webhooks": """
        SELECT e.kind, p.url, d.status, d.attempts, d.last_status, d.last_error, d.due_at
        FROM events e JOIN webhook_deliveries d ON d.event_id = e.id AND d.checkout_id = e.checkout_id
        JOIN webhook_endpoints p ON p.id = d.endpoint_id
        WHERE e.checkout_id = :id ORDER BY e.id, p.url""",
}
SECTIONS: Final = {title: text(sql) for title, sql in _SECTIONS.items()}

STANDING: Final = text("""
    SELECT due_at, due_reason, attempts, last_error, fence, pivot_at, straight_through, now() AS now
    FROM checkouts WHERE id = :id
""")


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a detail, as a table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    @property
    def name(self) -> str:
        """The title as a field name of JSON."""
        return self.title.replace(" ", "_").replace("'", "")

    @property
    def records(self) -> list[dict[str, Any]]:
        """The rows with their columns' names."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class CheckoutDetail:
    """Everything about one checkout. `standing` has the columns that decide what happens next, and when."""

    status: Status
    standing: dict[str, Any]
    sections: tuple[Section, ...]

    def section(self, title: str) -> Section:
        """Return the section of this title."""
        return next(each for each in self.sections if each.title == title)


def read_detail(connection: Connection, checkout_id: UUID) -> CheckoutDetail:
    """Return everything about a checkout; NotFound if there is none.

    The payment's token, and the buyer's 3-D Secure action, are never shown.
    """
    status = read_status(connection, checkout_id=checkout_id, with_action=False)
    standing = connection.execute(STANDING, {"id": checkout_id}).mappings().one()
    sections = []
    for title, query in SECTIONS.items():
        found = connection.execute(query, {"id": checkout_id})
        sections.append(Section(title, tuple(found.keys()), tuple(tuple(row) for row in found)))
    return CheckoutDetail(status, dict(standing), tuple(sections))
