"""One purchase at the provider behind an adapter: calls with new keys, and their effects."""

import time
from dataclasses import dataclass, field
from typing import Final, TypeVar
from uuid import UUID, uuid4

import pytest

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.conformance.subject import Subject
from pipeline.gateways.gateway import ActionRequired, Answer, Call, Succeeded, Transient, Unknown, Verb

T = TypeVar("T")

OPEN, PENDING, AUTHORIZED = PaymentStatus.OPEN, PaymentStatus.ACTION_REQUIRED, PaymentStatus.AUTHORIZED
CAPTURED, CANCELLED, REFUNDED = PaymentStatus.CAPTURED, PaymentStatus.CANCELLED, PaymentStatus.REFUNDED

#: The status of an object before a verb and after it.
STEPS: Final = {
    Verb.OPEN: (None, OPEN),
    Verb.AUTHORIZE: (OPEN, AUTHORIZED),
    Verb.CAPTURE: (AUTHORIZED, CAPTURED),
    Verb.CANCEL: (AUTHORIZED, CANCELLED),
    Verb.REFUND: (CAPTURED, REFUNDED),
}

#: The verbs that lead to a status by the shortest way.
WAYS: Final = {
    OPEN: (Verb.OPEN,),
    AUTHORIZED: (Verb.OPEN, Verb.AUTHORIZE),
    CAPTURED: (Verb.OPEN, Verb.AUTHORIZE, Verb.CAPTURE),
    CANCELLED: (Verb.OPEN, Verb.AUTHORIZE, Verb.CANCEL),
    REFUNDED: (Verb.OPEN, Verb.AUTHORIZE, Verb.CAPTURE, Verb.REFUND),
}

#: The longest time for which a call is repeated until its answer is definite.
REPEAT_SECONDS: Final = 30

MINOR: Final = 12_50


def need(value: T | None, name: str) -> T:
    """Return an attribute of the subject, or skip the test without it."""
    if value is None:
        pytest.skip(f"The subject has no {name}.")
    return value


@dataclass
class Purchase:
    """Buys one thing, for 12.50 unless there is another price."""

    subject: Subject
    checkout_id: UUID = field(default_factory=uuid4)
    reference: str | None = None
    price: Money | None = None

    @property
    def amount(self) -> Money:
        """The price."""
        return self.price or Money(MINOR, self.subject.currency)

    def call(self, *, token: str | None = None, amount: Money | None = None, reference: str | None = None) -> Call:
        """Return a call about the object, with a new key."""
        return Call(
            checkout_id=self.checkout_id,
            key=f"conformance:{uuid4()}",
            amount=amount or self.amount,
            token=token or self.subject.tokens.ok,
            reference=reference or self.reference,
        )

    def ask(self, verb: Verb, call: Call | None = None) -> Answer:
        """Make one call, by default with a new key, and return any answer."""
        answer: Answer = getattr(self.subject.gateway, verb)(call or self.call())
        if verb is Verb.OPEN and isinstance(answer, Succeeded):
            self.reference = answer.reference
        return answer

    def insist(self, verb: Verb, call: Call | None = None) -> Answer:
        """Repeat a call with the same key until its answer is definite."""
        same = call or self.call()
        ends_at = time.monotonic() + REPEAT_SECONDS
        while isinstance(answer := self.ask(verb, same), Unknown | Transient):
            assert time.monotonic() < ends_at, answer
            time.sleep(0.05)
        return answer

    def retrieve(self) -> Answer:
        """Retrieve the object and return the answer."""
        ends_at = time.monotonic() + REPEAT_SECONDS
        while isinstance(answer := self.subject.gateway.retrieve(self.call()), Unknown | Transient):
            assert time.monotonic() < ends_at, answer
            time.sleep(0.05)
        return answer

    def bring_to(self, status: PaymentStatus | None) -> "Purchase":
        """Bring the object to this status by the ordinary calls; None is before it exists."""
        if status is PENDING:
            self.insist(Verb.OPEN)
            answer = self.insist(Verb.AUTHORIZE, self.call(token=need(self.subject.tokens.action, "tokens.action")))
            assert isinstance(answer, ActionRequired)
        elif status is not None:
            for verb in WAYS[status]:
                self.insist(verb)
            assert self.status() == status
        return self

    def status(self) -> PaymentStatus | None:
        """Return the status of the object; None if this purchase has none."""
        if self.reference is None:
            return None
        match self.retrieve():
            case Succeeded(_, status):
                return status
            case ActionRequired():
                return PENDING
            case other:
                pytest.fail(f"retrieve answered {other}")

    def movements(self) -> tuple[int, int]:
        """Return what the provider itself has captured and refunded."""
        assert self.reference is not None
        return self.subject.movements(self.reference)

    def assert_stands(self, status: PaymentStatus | None) -> None:
        """Assert the status of the object, that exactly its money has moved, and that it is the only object."""
        assert self.status() == status
        if self.subject.count_objects is not None:
            assert self.subject.count_objects(self.checkout_id) == (0 if status is None else 1)
        if status is not None:
            captured = MINOR if status in (CAPTURED, REFUNDED) else 0
            assert self.movements() == (captured, MINOR if status is REFUNDED else 0)
