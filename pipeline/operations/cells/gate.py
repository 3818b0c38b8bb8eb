"""The gate of an owner in the cell that it leaves: draining, closed, moved; or open again.

Its triggers exist during a move only. `CREATE TRIGGER` waits for the transactions that write these tables, so that
nobody who began before it writes after it.
"""

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import MoveState

#: What an owner's requests, its workers and hand-written SQL write, and whether rows of it may be deleted.
GUARDED: Final = {
    "refunds": ("INSERT", "UPDATE"),
    "order_changes": ("INSERT", "UPDATE"),
    "checkouts": ("INSERT", "UPDATE"),
    "carts": ("INSERT", "UPDATE", "DELETE"),
    "cart_lines": ("INSERT", "UPDATE", "DELETE"),
    "payments": ("INSERT", "UPDATE"),
    "payment_operations": ("INSERT", "UPDATE"),
    "idempotency_keys": ("INSERT",),
    "stored_responses": ("INSERT", "UPDATE"),
    "api_keys": ("INSERT", "UPDATE"),
    "webhook_endpoints": ("INSERT", "UPDATE"),
}
#: In the order in which transactions of the engine take them, as in pipeline/checkouts/locks.py.
LOCK: Final = f"LOCK TABLE {', '.join(GUARDED)} IN SHARE ROW EXCLUSIVE MODE"

FIND: Final = text("SELECT owner, id, cell, state, facts FROM owner_moves WHERE owner = :owner")
OTHERS: Final = text("SELECT owner FROM owner_moves WHERE owner <> :owner AND state IN ('draining', 'closed') LIMIT 1")
BEGIN: Final = text("""
    INSERT INTO owner_moves (owner, id, cell, state) VALUES (:owner, :id, :cell, 'draining')
    ON CONFLICT (owner) DO UPDATE SET id = EXCLUDED.id, cell = EXCLUDED.cell, state = EXCLUDED.state,
        facts = jsonb_build_object('before', to_jsonb(owner_moves) - 'facts'), began_at = now(), changed_at = now()
""")
#: Polls of payments whose checkouts have ended are the target's from now on; `open_again` brings them back.
TAKE_POLLS: Final = text("""
    UPDATE checkouts c SET due_at = NULL, due_reason = NULL
    FROM (SELECT id, due_at, due_reason FROM checkouts WHERE owner = :owner AND due_at IS NOT NULL) AS due
    WHERE c.id = due.id RETURNING c.id, CAST(due.due_at AS text) AS due_at, due.due_reason
""")
#: And so are reads of captured payments.
TAKE_CHARGES: Final = text("""
    UPDATE payments p SET charge_due_at = NULL
    FROM (SELECT checkout_id, charge_due_at FROM payments
          WHERE charge_due_at IS NOT NULL AND checkout_id IN (SELECT id FROM checkouts WHERE owner = :owner)) AS due
    WHERE p.checkout_id = due.checkout_id RETURNING p.checkout_id AS id, CAST(due.charge_due_at AS text) AS due_at
""")
CLOSE: Final = text("""
    UPDATE owner_moves SET state = 'closed', changed_at = now(), facts = facts || CAST(:facts AS jsonb)
    WHERE owner = :owner
""")
GIVE_POLLS: Final = text("""
    UPDATE checkouts c SET due_at = CAST(due.due_at AS timestamptz), due_reason = due.due_reason
    FROM jsonb_to_recordset(CAST(:polls AS jsonb)) AS due (id uuid, due_at text, due_reason text) WHERE c.id = due.id
""")
GIVE_CHARGES: Final = text("""
    UPDATE payments p SET charge_due_at = CAST(due.due_at AS timestamptz)
    FROM jsonb_to_recordset(CAST(:charges AS jsonb)) AS due (id uuid, due_at text) WHERE p.checkout_id = due.id
""")
FORGET: Final = text("DELETE FROM owner_moves WHERE owner = :owner")
RESTORE: Final = text("""
    UPDATE owner_moves SET id = CAST(facts #>> '{before,id}' AS uuid), cell = facts #>> '{before,cell}',
        state = facts #>> '{before,state}', facts = '{}', changed_at = now()
    WHERE owner = :owner AND facts #>> '{before,state}' = 'arrived' RETURNING owner
""")
MOVED: Final = text("UPDATE owner_moves SET state = 'moved', changed_at = now() WHERE owner = :owner")
END_SESSIONS: Final = text("""
    DELETE FROM admin_sessions WHERE key_id IN (SELECT id FROM api_keys WHERE owner = :owner)
""")


@dataclass(frozen=True, slots=True)
class OwnerMove:
    """The stored move of an owner."""

    owner: str
    id: UUID
    cell: str
    state: MoveState
    facts: dict[str, Any]


def find_move(connection: Connection, owner: str) -> OwnerMove | None:
    """Return the move of an owner in this cell."""
    row = connection.execute(FIND, {"owner": owner}).one_or_none()
    return None if row is None else OwnerMove(row.owner, row.id, row.cell, MoveState(row.state), row.facts)


def find_other(connection: Connection, owner: str) -> str | None:
    """Return another owner that is moving."""
    found: str | None = connection.execute(OTHERS, {"owner": owner}).scalar()
    return found


def begin_draining(connection: Connection, owner: str, move_id: UUID, cell: str) -> None:
    """Let no new checkout of the owner start."""
    for table, events in GUARDED.items():
        connection.exec_driver_sql(
            f"CREATE OR REPLACE TRIGGER owner_move BEFORE {' OR '.join(events)} ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION owner_move_guard()"
        )
    connection.execute(BEGIN, {"owner": owner, "id": move_id, "cell": cell})


def lock_guarded(connection: Connection) -> None:
    """Wait for all who write the owner's tables, and let nobody else begin until the end of the transaction."""
    connection.exec_driver_sql(LOCK)


def close(connection: Connection, owner: str) -> None:
    """Let nothing of the owner change. The tables are locked, and nothing of it is active."""
    polls = [dict(row) for row in connection.execute(TAKE_POLLS, {"owner": owner}).mappings()]
    charges = [dict(row) for row in connection.execute(TAKE_CHARGES, {"owner": owner}).mappings()]
    facts = json.dumps({"polls": polls, "charges": charges}, default=str)
    connection.execute(CLOSE, {"owner": owner, "facts": facts})


def give_polls(connection: Connection, move: OwnerMove) -> None:
    """Schedule the polls of ended checkouts, and the reads of captured payments, that `close` took."""
    connection.execute(GIVE_POLLS, {"polls": json.dumps(move.facts.get("polls", []))})
    connection.execute(GIVE_CHARGES, {"charges": json.dumps(move.facts.get("charges", []))})


def open_again(connection: Connection, owner: str) -> None:
    """Undo a move that has copied nothing."""
    move = find_move(connection, owner)
    if move is None or move.state not in (MoveState.DRAINING, MoveState.CLOSED):
        return
    if connection.execute(RESTORE, {"owner": owner}).first() is None:
        connection.execute(FORGET, {"owner": owner})
    give_polls(connection, move)
    remove_triggers(connection)


def switch(connection: Connection, owner: str) -> None:
    """Say from now on that the owner lives in the other cell."""
    connection.execute(END_SESSIONS, {"owner": owner})
    connection.execute(MOVED, {"owner": owner})


def remove_triggers(connection: Connection) -> None:
    """Let the other owners' statements run without the triggers of a move."""
    for table in GUARDED:
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS owner_move ON {table}")
