"""The first schema: tables by subject, then the functions and triggers that guard them, as SQL in migrations/sql/0001."""

from pathlib import Path
from typing import Final

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FOLDER: Final = Path(__file__).resolve().parent.parent / "sql" / revision

#: In the order in which they refer to each other.
TABLES: Final = (
    "carts",
    "catalog",
    "catalog_changes",
    "pricing",
    "checkouts",
    "stock",
    "price_locks",
    "payments",
    "orders",
    "order_changes",
    "http",
    "moves",
    "sandbox",
)
TRIGGERS: Final = (
    "normalize_name",
    "names",
    "guards",
    "order_guards",
    "history",
    "frozen",
    "partitions",
    "search_paths",
)


def upgrade() -> None:
    """Create everything."""
    for name in (*TABLES, *TRIGGERS):
        run(name)


def downgrade() -> None:
    """Drop everything, and all rows with it."""
    run("drop")


def run(name: str) -> None:
    """Run one file as it stands: neither `:` nor `%` in it is a parameter."""
    sql = (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
