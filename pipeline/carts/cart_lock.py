"""The cart lock: the active checkout of a cart, its request, and the refusal for an editor or another checkout."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import ACTIVE_SQL, CheckoutState
from pipeline.checkouts import Expected
from pipeline.errors import Code, Conflict

CART_LOCK: Final = text(f"""
    SELECT c.id, c.cart_id, c.owner, c.state, c.reference, c.expected_total_minor, c.expected_hash, c.expected_lines,
           c.expires_at, c.payment_given, p.token
    FROM checkouts c LEFT JOIN payments p ON p.checkout_id = c.id
    WHERE c.cart_id = :cart_id AND c.state IN ({ACTIVE_SQL})
""")


@dataclass(frozen=True, slots=True)
class CartLock:
    """The active checkout of a cart. `expires_at` is when it ends unless it is paid.

    `reference`, `expected` and `token` (the payment's) are those of the request that started it.
    """

    id: UUID
    cart_id: UUID
    owner: str
    state: CheckoutState
    reference: str | None
    expected: Expected
    token: str | None
    expires_at: datetime
    payment_given: bool

    def refuse(self, requester: str) -> Conflict:
        """Return the refusal for another request for the cart; another owner's checkout is not named in it."""
        own = {"checkout_id": str(self.id)} if self.owner == requester else {}
        return Conflict(
            Code.CART_LOCKED,
            cart_id=str(self.cart_id),
            locked_by=f"checkout {self.id}" if own else "another owner's checkout",
            expires_at=self.expires_at.isoformat(),
            **own,
        )


def find_cart_lock(connection: Connection, cart_id: UUID) -> CartLock | None:
    """Return the cart lock of this cart; certain only while the cart's row is locked."""
    row = connection.execute(CART_LOCK, {"cart_id": cart_id}).one_or_none()
    if row is None:
        return None
    return CartLock(
        id=row.id,
        cart_id=row.cart_id,
        owner=row.owner,
        state=CheckoutState(row.state),
        reference=row.reference,
        expected=Expected(row.expected_total_minor, row.expected_hash, row.expected_lines or {}),
        token=row.token,
        expires_at=row.expires_at,
        payment_given=row.payment_given,
    )
