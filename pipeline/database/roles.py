"""Database privileges: three roles without a login, granted to the users that processes connect as.

`checkout_worker` is for the workers, the scheduler and the HTTP servers: it can do what they do, and no SQL that runs
as it can change history. `checkout_clerk` is for the commands that manage the catalog, the API keys and the endpoints.
`checkout_reader` only reads, and no secret. None owns a table: no trigger can be switched off.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, text

from models.history import FROZEN
from models.names import PARTITIONED, PARTITIONS_SCHEMA
from models.tables import Base
from pipeline.database.schema_grant import SchemaGrant


class Role(StrEnum):
    """The roles."""

    WORKER = "checkout_worker"
    CLERK = "checkout_clerk"
    READER = "checkout_reader"


#: Columns that only the insert of a row sets, beside what a trigger enforces for every role. An upstream with a user
#: of its own may give a cart to another owner; the engine never does.
_OWN: Final[Mapping[str, tuple[str, ...]]] = {"carts": ("id", "owner", "created_at")}


def _update(table: str) -> str:
    """Return the right to change every column of a table except those that are written once."""
    once = {*FROZEN.get(table, ()), *_OWN.get(table, ())}
    generated = {column.name for column in Base.metadata.tables[table].columns if column.identity is not None}
    columns = [column.name for column in Base.metadata.tables[table].columns]
    return f"UPDATE ({', '.join(name for name in columns if name not in once | generated)})"


#: What the worker may do beside reading: on whole tables, or on the columns named. All other tables it may only read.
#: History (events, movements, lines of checkouts, price locks and orders) is inserted and never changed.
WORKER: Final[Mapping[str, tuple[str, ...]]] = {
    "carts": ("INSERT", _update("carts")),
    "cart_lines": ("INSERT", "UPDATE", "DELETE"),
    "checkouts": ("INSERT", _update("checkouts")),
    "checkout_lines": ("INSERT",),
    "idempotency_keys": ("INSERT",),
    "stored_responses": ("INSERT", "UPDATE (leased_until, status, headers, body)", "DELETE"),
    "events": ("INSERT",),
    "reservations": ("INSERT", "UPDATE (state)"),
    "stock_levels": ("UPDATE (reserved, on_hand)",),
    "stock_movements": ("INSERT",),
    "price_locks": ("INSERT", "UPDATE (voided_at)"),
    "price_lock_lines": ("INSERT",),
    "coupons": ("UPDATE (used)",),
    "redemptions": ("INSERT", "UPDATE (returned_at)"),
    "payments": ("INSERT", _update("payments")),
    "payment_operations": ("INSERT", _update("payment_operations")),
    "orders": ("INSERT", "UPDATE (state, number, placed_at, cancelled_at)"),
    "order_lines": ("INSERT",),
    "order_changes": ("INSERT", _update("order_changes")),
    "order_change_lines": ("INSERT",),
    "refunds": ("INSERT", _update("refunds")),
    "webhook_inbox": ("INSERT", _update("webhook_inbox"), "DELETE"),
    "webhook_deliveries": (
        "INSERT",
        "UPDATE (status, attempts, due_at, last_status, last_error, ended_at)",
        "DELETE",
    ),
    "rejected_messages": ("INSERT", "DELETE"),
    "admin_sessions": ("INSERT", "DELETE"),
    "heartbeats": ("INSERT", "UPDATE"),
}
#: What people change with commands.
CLERK: Final[Mapping[str, tuple[str, ...]]] = {
    "variants": ("INSERT", "UPDATE"),
    "derived_skus": ("INSERT",),
    "prices": ("INSERT", "UPDATE"),
    "locations": ("INSERT",),
    "stock_levels": ("INSERT", "UPDATE"),
    "stock_movements": ("INSERT",),
    "catalog_changes": ("INSERT",),
    "promotions": ("INSERT", "UPDATE"),
    "coupons": ("INSERT", "UPDATE"),
    "tax_rates": ("INSERT", "UPDATE"),
    "exchange_rates": ("INSERT", "UPDATE"),
    "api_keys": ("INSERT", "UPDATE (revoked_at)"),
    "webhook_endpoints": ("INSERT", "UPDATE"),
    "webhook_deliveries": ("INSERT", "UPDATE"),
}
#: Columns that the reader does not see; it sees all others.
SECRETS: Final[Mapping[str, frozenset[str]]] = {
    "api_keys": frozenset({"secret_hash"}),
    "admin_sessions": frozenset({"token_hash"}),
    # The buyer's 3-D Secure action: with it, others can act in place of the buyer.
    "payments": frozenset({"token", "action"}),
    # Texts from outside: secrets are removed before they are stored, as far as they can be recognised.
    "rejected_messages": frozenset({"body"}),
    "webhook_inbox": frozenset({"body"}),
    "webhook_endpoints": frozenset({"secret"}),
    "stored_responses": frozenset({"body", "headers"}),
}

#: A session creates nothing of its own: no table with a name of the engine's. PUBLIC is every role. If the owner of the
#: tables does not own the database, PostgreSQL warns that the database's owner has to do it.
_MAKE_NOTHING: Final = """
DO $$ BEGIN
    EXECUTE format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC', current_database());
END $$
"""

#: Health and `diagnose` show how far the standbys are behind; without this right, PostgreSQL shows NULL there. Where it
#: may not be granted there is a warning: health says what it cannot see, and everything else works.
_SEE_STANDBYS: Final = f"""
DO $$ BEGIN
    GRANT pg_read_all_stats TO {Role.WORKER}, {Role.READER};
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'pg_read_all_stats is not granted: health and diagnose do not show the standbys';
END $$
"""

MAKE: Final = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF;
END $$
"""


def list_statements(schemas: Sequence[SchemaGrant]) -> list[str]:
    """Return the statements that create the roles and grant their privileges; safe to run again.

    `schemas` are those of the gateways, beside the engine's own.
    """
    names = ["public", *(each.schema for each in schemas)]
    statements = [MAKE.format(role=role).strip() for role in Role]
    all_roles = ", ".join(Role)
    statements += [_MAKE_NOTHING.strip(), _SEE_STANDBYS.strip()]
    for schema in names:
        statements.append(f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {all_roles}")
        statements.append(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {all_roles}")
        statements.append(f"GRANT USAGE ON SCHEMA {schema} TO {all_roles}")
    statements.append(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {Role.WORKER}, {Role.CLERK}")
    statements.append(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {', '.join(names)} TO {Role.WORKER}, {Role.CLERK}")
    statements += [
        f"GRANT {', '.join(each.worker)} ON ALL TABLES IN SCHEMA {each.schema} TO {Role.WORKER}" for each in schemas
    ]
    # Rows are read and written through their tables, for which a partition needs no right: only whether a default
    # partition has rows of a month is read there (pipeline/checkouts/conditions.py).
    statements.append(f"REVOKE ALL ON ALL TABLES IN SCHEMA {PARTITIONS_SCHEMA} FROM PUBLIC, {all_roles}")
    statements.append(f"GRANT USAGE ON SCHEMA {PARTITIONS_SCHEMA} TO {all_roles}")
    statements += [
        f"GRANT SELECT (checkout_id) ON {PARTITIONS_SCHEMA}.{table}_default TO {all_roles}" for table in PARTITIONED
    ]
    for role, grants in ((Role.WORKER, WORKER), (Role.CLERK, CLERK)):
        statements += [f"GRANT {', '.join(rights)} ON {table} TO {role}" for table, rights in grants.items()]
    statements.append(f"GRANT SELECT ON alembic_version TO {Role.READER}")
    statements.append(f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {', '.join(Role)}")
    statements += [f"GRANT SELECT ON ALL TABLES IN SCHEMA {each.schema} TO {Role.READER}" for each in schemas]
    for table in Base.metadata.sorted_tables:
        if table.schema is None:
            hidden = SECRETS.get(table.name, frozenset())
            columns = ", ".join(column.name for column in table.columns if column.name not in hidden)
            statements.append(f"GRANT SELECT ({columns}) ON {table.name} TO {Role.READER}")
    return statements


def make_user(connection: Connection, name: str, role: Role) -> None:
    """Create a user that may log in, with this role and no password, for temporary environments."""
    connection.execute(text(f"CREATE USER {name}"))
    connection.execute(text(f"GRANT {role} TO {name}"))


def grant(connection: Connection, schemas: Sequence[SchemaGrant]) -> None:
    """Create the roles and grant their privileges. Run it as the owner of the tables, who may create roles.

    A schema that is not here is left out: its gateway has its tables elsewhere, or is installed and not used.
    """
    here = set(connection.execute(text("SELECT nspname FROM pg_namespace")).scalars())
    for statement in list_statements([each for each in schemas if each.schema in here]):
        connection.execute(text(statement))
