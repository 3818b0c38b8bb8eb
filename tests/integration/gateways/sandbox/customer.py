"""One customer of the bank: calls with new keys, and direct reads of the bank's tables."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.gateway import Call, Succeeded
from pipeline.gateways.sandbox.bank import SandboxGateway

AMOUNT = Money(12_50, "EUR")


@dataclass
class Customer:
    """Buys one thing for 12.50 EUR with one token."""

    bank: SandboxGateway
    engine: Engine
    token: str = "tok_ok"
    id: UUID = field(default_factory=uuid4)
    reference: str | None = None

    def call(self, *, key: str | None = None, token: str | None = None, amount: Money = AMOUNT) -> Call:
        """Return a call about the object, with a key of its own unless one is given."""
        return Call(self.id, key or str(uuid4()), amount, token or self.token, self.reference)

    def open(self) -> "Customer":
        """Open the payment object."""
        answer = self.bank.open(self.call(token="tok_ok"))
        assert isinstance(answer, Succeeded)
        assert answer.status is PaymentStatus.OPEN
        self.reference = answer.reference
        return self

    def bring_to(self, status: PaymentStatus) -> "Customer":
        """Open the object and bring it to this status by the ordinary way."""
        self.open()
        if status is PaymentStatus.ACTION_REQUIRED:
            self.bank.authorize(self.call(token="tok_action_required"))
        if status in (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED, PaymentStatus.REFUNDED):
            self.bank.authorize(self.call(token="tok_ok"))
        if status in (PaymentStatus.CAPTURED, PaymentStatus.REFUNDED):
            self.bank.capture(self.call(token="tok_ok"))
        if status is PaymentStatus.REFUNDED:
            self.bank.refund(self.call(token="tok_ok"))
        if status is PaymentStatus.CANCELLED:
            self.bank.cancel(self.call(token="tok_ok"))
        assert self.row()["status"] == status
        return self

    def row(self) -> dict[str, Any]:
        """Return the stored object."""
        sql = text("SELECT * FROM sandbox.payments WHERE checkout_id = :id")
        with self.engine.connect() as connection:
            return dict(connection.execute(sql, {"id": self.id}).mappings().one())

    def standing(self) -> Succeeded:
        """Return the answer for the stored object."""
        row = self.row()
        return Succeeded(row["reference"], PaymentStatus(row["status"]), row["authorized_until"])

    def entries(self) -> list[tuple[str, int]]:
        """Return the ledger's lines of the object."""
        sql = text(
            "SELECT e.kind, e.amount_minor FROM sandbox.entries e JOIN sandbox.payments p USING (reference)"
            " WHERE p.checkout_id = :id ORDER BY e.id"
        )
        with self.engine.connect() as connection:
            return [(kind, amount) for kind, amount in connection.execute(sql, {"id": self.id})]

    def opened(self) -> int:
        """Return how many objects the bank has of this customer."""
        sql = text("SELECT count(*) FROM sandbox.payments WHERE checkout_id = :id")
        with self.engine.connect() as connection:
            return int(connection.execute(sql, {"id": self.id}).scalar_one())

    def seen(self, key: str) -> tuple[int, bool] | None:
        """Return how often the bank saw this key, and whether it keeps an answer."""
        sql = text("SELECT calls, answer IS NOT NULL FROM sandbox.requests WHERE key = :key")
        with self.engine.connect() as connection:
            found = connection.execute(sql, {"key": key}).one_or_none()
            return None if found is None else (found[0], found[1])
