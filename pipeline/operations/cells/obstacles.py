"""What keeps an owner from being moved, each with one sentence; and what is still active."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from models.cells import HEARTBEAT
from models.states import ACTIVE_SQL
from pipeline.gateways.installed import load_gateways
from pipeline.settings import Settings

OWNED: Final = "SELECT id FROM checkouts WHERE owner = :owner"

EXISTS: Final = text("""
    SELECT EXISTS (SELECT FROM checkouts WHERE owner = :owner) OR EXISTS (SELECT FROM carts WHERE owner = :owner)
        OR EXISTS (SELECT FROM api_keys WHERE owner = :owner)
        OR EXISTS (SELECT FROM webhook_endpoints WHERE owner = :owner)
        OR EXISTS (SELECT FROM stored_responses WHERE owner = :owner)
        OR EXISTS (SELECT FROM idempotency_keys WHERE owner = :owner)
""")
#: Of an owner that has been here before, only its keys are left.
RETURNS: Final = text("""
    SELECT EXISTS (SELECT FROM owner_moves WHERE owner = :owner AND state = 'moved')
       AND NOT EXISTS (SELECT FROM checkouts WHERE owner = :owner)
       AND NOT EXISTS (SELECT FROM carts WHERE owner = :owner)
""")
#: What ends by itself, in some time.
ACTIVE: Final = text(f"""
    SELECT (SELECT count(*) FROM checkouts WHERE owner = :owner AND state IN ({ACTIVE_SQL}) AND state <> 'needs_review')
               AS "active checkouts",
           (SELECT count(*) FROM payment_operations o WHERE o.checkout_id IN ({OWNED})
            AND o.status IN ('intended', 'unknown')) AS "payment calls without an outcome",
           (SELECT count(*) FROM order_changes WHERE owner = :owner AND kind <> 'dispute'
            AND state IN ('requested', 'running')) AS "changes of orders to be done",
           (SELECT count(*) FROM webhook_inbox i WHERE i.due_at IS NOT NULL AND i.checkout_id IN ({OWNED}))
               AS "inbound webhooks to be processed",
           (SELECT count(*) FROM webhook_deliveries d WHERE d.status = 'pending' AND d.checkout_id IN ({OWNED}))
               AS "outbound webhooks to be delivered",
           (SELECT count(*) FROM stored_responses WHERE owner = :owner AND status IS NULL AND leased_until > now())
               AS "requests in progress"
""")
#: What a person settles first.
UNSETTLED: Final[Mapping[str, str]] = {
    "checkouts that need review": f"SELECT count(*) FROM checkouts WHERE id IN ({OWNED}) AND state = 'needs_review'",
    "payments that need review": f"SELECT count(*) FROM payments WHERE review IS NOT NULL AND checkout_id IN ({OWNED})",
    "changes of orders that need review": (
        "SELECT count(*) FROM order_changes WHERE owner = :owner AND state = 'needs_review'"
    ),
    "dead-lettered outbound webhooks": (
        f"SELECT count(*) FROM webhook_deliveries WHERE status = 'dead_lettered' AND checkout_id IN ({OWNED})"
    ),
    "carts that it shares with other owners, or that have none and are open": """
        SELECT count(*) FROM carts k WHERE k.id IN (SELECT cart_id FROM checkouts WHERE owner = :owner)
           AND (k.owner <> :owner OR k.owner IS NULL AND k.state = 'open'
                OR EXISTS (SELECT FROM checkouts c WHERE c.cart_id = k.id AND c.owner <> :owner))
        """,
    "carts with checkouts of other owners": """
        SELECT count(*) FROM carts k WHERE k.owner = :owner
           AND EXISTS (SELECT FROM checkouts c WHERE c.cart_id = k.id AND c.owner <> :owner)
        """,
    "checkouts in months whose history is detached": f"""
        SELECT count(*) FROM checkouts c JOIN detached_months m ON c.id >= m.from_id AND c.id < m.until_id
        WHERE c.id IN ({OWNED})
        """,
}
VARIANTS: Final = text(f"""
    SELECT id, sku FROM variants WHERE id IN (
        SELECT variant_id FROM checkout_lines WHERE checkout_id IN ({OWNED})
        UNION SELECT variant_id FROM price_lock_lines WHERE checkout_id IN ({OWNED})
        UNION SELECT variant_id FROM order_lines WHERE order_id IN (SELECT id FROM orders WHERE owner = :owner)
        UNION SELECT variant_id FROM reservations WHERE checkout_id IN ({OWNED}))
    ORDER BY sku
""")
#: Price locks are frozen with the ids of their variants, so that these must be the same in both cells.
OTHER_VARIANTS: Final = text("""
    SELECT g.sku FROM unnest(CAST(:ids AS bigint[]), CAST(:skus AS text[])) AS g (id, sku)
    JOIN variants v ON v.id = g.id OR v.sku = g.sku WHERE (v.id, v.sku) <> (g.id, g.sku) ORDER BY g.sku
""")
GATEWAYS: Final = text(f"SELECT DISTINCT gateway FROM payments WHERE checkout_id IN ({OWNED})")
CODES: Final = text(f"SELECT DISTINCT code FROM redemptions WHERE checkout_id IN ({OWNED}) ORDER BY code")
MISSING_CODES: Final = text("""
    SELECT code FROM unnest(CAST(:codes AS text[])) AS g (code)
    WHERE NOT EXISTS (SELECT FROM coupons c WHERE c.code = g.code) ORDER BY code
""")
NUMBERS: Final = text("SELECT number FROM orders WHERE owner = :owner AND number IS NOT NULL")
SAME_NUMBERS: Final = text("SELECT EXISTS (SELECT FROM orders WHERE number = ANY(CAST(:numbers AS bigint[])))")
#: The newest one: a cell that was called otherwise by mistake has both.
NAME: Final = text("""
    SELECT substr(name, char_length(:prefix) + 1) FROM heartbeats WHERE starts_with(name, :prefix)
    ORDER BY at DESC LIMIT 1
""")
DETACHED_THERE: Final = text("""
    SELECT count(*) FROM detached_months m
    WHERE EXISTS (SELECT FROM unnest(CAST(:ids AS uuid[])) AS g (id) WHERE g.id >= m.from_id AND g.id < m.until_id)
""")


class CannotMoveError(Exception):
    """Raised when an owner cannot be moved; its text is one sentence that says what to do. Nothing was changed."""


def read_revision(connection: Connection) -> str | None:
    """Return the revision of the schema; None without one."""
    try:
        with connection.begin_nested():
            found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            return found
    except ProgrammingError:
        return None


def find_active(connection: Connection, owner: str) -> list[str]:
    """Return what of the owner has not ended, in words and numbers."""
    row = connection.execute(ACTIVE, {"owner": owner}).mappings().one()
    return [f"{count} {what}" for what, count in row.items() if count]


def check_source(connection: Connection, owner: str, settings: Settings) -> None:
    """Raise CannotMoveError for an owner that does not exist, and for what a person must settle first."""
    values = {"owner": owner}
    if not connection.execute(EXISTS, values).scalar():
        raise CannotMoveError(f"There is no owner {owner} in this cell: `checkout keys list` shows those with keys.")
    for what, query in UNSETTLED.items():
        if count := connection.execute(text(query), values).scalar():
            raise CannotMoveError(f"The owner {owner} has {count} {what}: settle them, then move it.")
    used = set(connection.execute(GATEWAYS, values).scalars())
    for gateway in load_gateways():
        if gateway.name in used and gateway.list_invariants() and gateway.read(settings).has_tables_here(settings):
            raise CannotMoveError(
                f"The payments of gateway {gateway.name} are in this database and would stay: give it one of its own."
            )


def check_target(source: Connection, target: Connection, owner: str, cell: str) -> None:
    """Raise CannotMoveError for a target that cannot take this owner, and for one that is not called `cell`."""
    here, there = read_revision(source), read_revision(target)
    if there is None:
        raise CannotMoveError("The target has no schema of the engine: run the migrations there first.")
    if there != here:
        raise CannotMoveError(f"The target's schema has revision {there}, and this one {here}: make them equal first.")
    name = target.execute(NAME, {"prefix": HEARTBEAT}).scalar()
    if name is None:
        raise CannotMoveError(
            f"No sweep has named the target's cell yet: start its processes with CHECKOUT_CELL={cell}, then repeat."
        )
    if name != cell:
        raise CannotMoveError(f"The target's processes call their cell {name}, and not {cell}: name it as they do.")
    values: dict[str, Any] = {"owner": owner}
    if target.execute(EXISTS, values).scalar() and not target.execute(RETURNS, values).scalar():
        raise CannotMoveError(f"The target has an owner {owner} already: give one of the two another name.")
    variants = source.execute(VARIANTS, values).all()
    found = {"ids": [row.id for row in variants], "skus": [row.sku for row in variants]}
    if others := list(target.execute(OTHER_VARIANTS, found).scalars()):
        raise CannotMoveError(
            f"The target has another variant in place of {', '.join(others[:3])}: price locks are frozen with the ids"
            " of their variants, so that both cells must have the same."
        )
    codes = list(source.execute(CODES, values).scalars())
    if missing := list(target.execute(MISSING_CODES, {"codes": codes}).scalars()):
        raise CannotMoveError(f"The target has no coupon {', '.join(missing[:3])}: create it there first.")
    numbers = list(source.execute(NUMBERS, values).scalars())
    if target.execute(SAME_NUMBERS, {"numbers": numbers}).scalar():
        raise CannotMoveError(
            "Both cells have drawn the same order numbers, before they had names: it cannot be moved."
        )
    ids = list(source.execute(text(OWNED), values).scalars())
    if target.execute(DETACHED_THERE, {"ids": ids}).scalar():
        raise CannotMoveError(
            f"The target has detached a month in which checkouts of {owner} began: it cannot take their history."
        )
