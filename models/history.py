"""What is written once: columns that never change, steps that never go back, rows that are never removed.

Each trigger carries what it refuses in its WHEN: PostgreSQL evaluates that in place, and no function is called for a
change that is allowed. `UPDATE OF` leaves out the statements that do not even name the columns.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from models.states import (
    OPERATION_TRANSITIONS,
    ORDER_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    RESERVATION_TRANSITIONS,
)

State = TypeVar("State", bound=StrEnum)

FROZEN_GUARD: Final = """
CREATE FUNCTION frozen_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CK002',
        MESSAGE = format('%s of a row of %s never change once written.', TG_ARGV[0], TG_TABLE_NAME),
        HINT = 'Leave the row as it is, and start a new checkout.';
END $$
"""

TRANSITION_GUARD: Final = """
CREATE FUNCTION transition_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CK003',
        MESSAGE = format('A row of %s is %s and cannot become %s.', TG_TABLE_NAME, to_jsonb(OLD) ->> TG_ARGV[0],
                         to_jsonb(NEW) ->> TG_ARGV[0]);
END $$
"""

#: The columns that are written with the row and never again.
FROZEN: Final[Mapping[str, tuple[str, ...]]] = {
    "checkouts": ("id", "cart_id", "owner", "reference", "currency", "created_at"),
    "payments": ("checkout_id", "gateway", "created_at"),
    "payment_operations": ("checkout_id", "kind", "n", "idempotency_key", "amount_minor", "created_at"),
    "orders": (
        *("id", "checkout_id", "cart_id", "owner", "reference", "currency", "subtotal_minor", "discount_minor"),
        *("shipping_minor", "tax_minor", "total_minor", "shipping", "shipping_address", "billing_address"),
        "created_at",
    ),
    "reservations": ("checkout_id", "line", "variant_id", "location_id", "quantity"),
    "redemptions": ("checkout_id", "code", "promotion_id", "customer", "redeemed_at"),
    "webhook_inbox": ("id", "gateway", "event_id", "kind", "reference", "checkout_id", "body", "received_at"),
}

#: Columns that get their value once: table, condition under which they have it, columns, what they are called.
_ONCE: Final = (
    (
        "checkouts",
        "OLD.ended_at IS NOT NULL",
        ("ending", "failure_code", "failure_phase", "failure_message", "failure_detail"),
        "The reason of the end",
    ),
    ("payments", "OLD.reference IS NOT NULL", ("reference",), "The object at the provider"),
    ("orders", "OLD.state <> 'pending'", ("number", "placed_at", "cancelled_at"), "The number and the time"),
    ("redemptions", "OLD.returned_at IS NOT NULL", ("returned_at",), "The time of the return"),
)

#: Tables whose rows are never removed, though some of their columns change.
KEPT_TABLES: Final = (
    "checkouts",
    "orders",
    "payment_operations",
    "payments",
    "price_locks",
    "redemptions",
    "reservations",
)
#: Tables that forget, but nothing of the last day, nor what is still to be worked on.
FORGETFUL: Final[Mapping[str, str]] = {
    "refused_messages": "OLD.received_at > now() - interval '1 day'",
    "webhook_inbox": "OLD.due_at IS NOT NULL OR OLD.received_at > now() - interval '1 day'",
}


def _differ(columns: tuple[str, ...]) -> str:
    old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
    return f"ROW({old}) IS DISTINCT FROM ROW({new})"


def _freeze(name: str, table: str, columns: tuple[str, ...], condition: str, what: str) -> str:
    return (
        f"CREATE TRIGGER {name} BEFORE UPDATE OF {', '.join(columns)} ON {table} FOR EACH ROW"
        f" WHEN ({condition}) EXECUTE FUNCTION frozen_guard('{what}')"
    )


def _bind(table: str, column: str, transitions: Mapping[State, frozenset[State]], also: str = "") -> str:
    pairs = ", ".join(f"('{old}', '{new}')" for old, news in transitions.items() for new in sorted(news))
    refused = f"(OLD.{column}, NEW.{column}) NOT IN ({pairs})"
    return (
        f"CREATE TRIGGER transitions BEFORE UPDATE OF {column} ON {table} FOR EACH ROW"
        f" WHEN (OLD.{column} <> NEW.{column} AND ({refused}{also})) EXECUTE FUNCTION transition_guard('{column}')"
    )


FUNCTIONS: Final = {"frozen_guard": FROZEN_GUARD, "transition_guard": TRANSITION_GUARD}

TRIGGERS: Final = (
    *(
        _freeze("frozen", table, columns, _differ(columns), f"The columns {', '.join(columns)}")
        for table, columns in FROZEN.items()
    ),
    *(
        _freeze("once", table, columns, f"{condition} AND {_differ(columns)}", what)
        for table, condition, columns, what in _ONCE
    ),
    _bind("payments", "status", PAYMENT_TRANSITIONS),
    _bind(
        "payment_operations",
        "status",
        OPERATION_TRANSITIONS,
        " OR OLD.status = 'succeeded' AND OLD.kind NOT IN ('capture', 'refund')",
    ),
    _bind("orders", "state", ORDER_TRANSITIONS),
    _bind("reservations", "state", RESERVATION_TRANSITIONS),
    *(
        f"CREATE TRIGGER keep_{table} BEFORE DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard()"
        for table in KEPT_TABLES
    ),
    *(
        f"CREATE TRIGGER keep_lately BEFORE DELETE ON {table} FOR EACH ROW"
        f" WHEN ({condition}) EXECUTE FUNCTION append_only_guard()"
        for table, condition in FORGETFUL.items()
    ),
)
