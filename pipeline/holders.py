"""Who holds a cart: its active checkout, and how an editor or a rival is told."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import ACTIVE_SQL
from pipeline.errors import Code, Conflict

HOLDER: Final = text(f"""
    SELECT id, cart_id, owner, expires_at, payment_given FROM checkouts
    WHERE cart_id = :cart_id AND state IN ({ACTIVE_SQL})
""")


@dataclass(frozen=True, slots=True)
class Holder:
    """The active checkout of a cart. `expires_at` is when it ends if nobody pays."""

    id: UUID
    cart_id: UUID
    owner: str
    expires_at: datetime
    payment_given: bool

    def refuse(self, asker: str) -> Conflict:
        """Return the refusal for somebody who wants the cart; another owner's checkout is not named to them."""
        own = {"checkout_id": str(self.id)} if self.owner == asker else {}
        return Conflict(
            Code.CART_LOCKED,
            cart_id=str(self.cart_id),
            holder=f"checkout {self.id}" if own else "another owner's checkout",
            expires_at=self.expires_at.isoformat(),
            **own,
        )


def find_holder(connection: Connection, cart_id: UUID) -> Holder | None:
    """Return who holds this cart; certain only while the cart's row is locked."""
    row = connection.execute(HOLDER, {"cart_id": cart_id}).one_or_none()
    return None if row is None else Holder(**row._mapping)  # noqa: SLF001 (a public attribute, for all its name)
