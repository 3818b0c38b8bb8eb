"""The rows of an owner: which tables have some, and how each is read so that both cells read the same.

Not here: variants, prices, stock levels, promotions, coupons, taxes and rates belong to a cell, and not to an owner.
Nor what a cell keeps for a while: the inbox of webhooks, ended deliveries, rejected messages, sessions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from models.tables import Base

CHECKOUTS: Final = "SELECT id FROM checkouts WHERE owner = %(owner)s"
CHANGES: Final = "SELECT id FROM order_changes WHERE owner = %(owner)s"
CARTS: Final = (
    "SELECT id FROM carts WHERE owner = %(owner)s UNION SELECT cart_id FROM checkouts WHERE owner = %(owner)s"
)

#: Ids that no other table refers to, so that the target draws its own: the sequences of two cells overlap.
DRAWN: Final = frozenset(
    {"events", "order_change_lines", "payment_operations", "refunds", "reservations", "stock_movements"}
)


@dataclass(frozen=True, slots=True)
class OwnedTable:
    """A table with rows of owners. `where` finds those of one; `named` are columns that are read by a name instead.

    The name is one that both cells have, for an id that each has drawn by itself. `group` is the column of what the
    rows belong to.
    """

    name: str
    where: str
    named: Mapping[str, str] = field(default_factory=dict)
    group: str = "checkout_id"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are copied."""
        every = (column.name for column in Base.metadata.tables[self.name].columns)
        return tuple(name for name in every if not (name == "id" and self.name in DRAWN))

    @property
    def values(self) -> str:
        """The SQL of the copied columns, of the table as `t`."""
        return ", ".join(self.named.get(name, f"t.{name}") for name in self.columns)

    @property
    def select(self) -> str:
        """The query of the owner's rows, in the order in which they were written."""
        order = " ORDER BY t.id" if self.name in DRAWN else ""
        return f"SELECT {self.values} FROM {self.name} t WHERE {self.where}{order}"

    @property
    def fingerprint(self) -> str:
        """The query of their number and of the sum of their hashes, which does not depend on their order.

        Where the target draws ids, the place among the rows of the group is hashed in place of the id.
        """
        place = f", row_number() OVER (PARTITION BY t.{self.group} ORDER BY t.id)" if self.name in DRAWN else ""
        return f"""
            SELECT count(*), CAST(coalesce(sum(CAST(CAST('x' || left(md5(row), 15) AS bit(60)) AS bigint)), 0) AS text)
            FROM (SELECT CAST(ROW({self.values}{place}) AS text) AS row FROM {self.name} t WHERE {self.where}) AS rows
        """


def _of_checkouts(name: str, **named: str) -> OwnedTable:
    return OwnedTable(name, f"t.checkout_id IN ({CHECKOUTS})", named)


def _of_owner(name: str) -> OwnedTable:
    return OwnedTable(name, "t.owner = %(owner)s")


LOCATION: Final = "(SELECT code FROM locations WHERE id = t.location_id)"

#: In the order in which they refer to each other.
OWNED: Final = (
    OwnedTable("carts", f"t.id IN ({CARTS})"),
    OwnedTable("cart_lines", f"t.cart_id IN ({CARTS})"),
    _of_owner("checkouts"),
    _of_checkouts("checkout_lines"),
    _of_owner("idempotency_keys"),
    _of_checkouts("events"),
    _of_checkouts("price_locks"),
    _of_checkouts("price_lock_lines"),
    # The promotion is that of the coupon, whose code both cells have.
    _of_checkouts("redemptions", promotion_id="t.code"),
    _of_checkouts("payments"),
    _of_checkouts("payment_operations"),
    _of_checkouts("reservations", location_id=LOCATION),
    # Restocks belong to changes of orders.
    OwnedTable(
        "stock_movements",
        f"(t.checkout_id IN ({CHECKOUTS})"
        f" OR t.checkout_id IS NULL AND t.kind = 'restock' AND t.change_id IN ({CHANGES}))",
        {"location_id": LOCATION},
    ),
    _of_owner("orders"),
    OwnedTable("order_lines", "t.order_id IN (SELECT id FROM orders WHERE owner = %(owner)s)"),
    _of_owner("order_changes"),
    OwnedTable("order_change_lines", f"t.change_id IN ({CHANGES})", {"location_id": LOCATION}, "change_id"),
    _of_checkouts("refunds"),
    _of_owner("stored_responses"),
    _of_owner("webhook_endpoints"),
    _of_owner("api_keys"),
)
