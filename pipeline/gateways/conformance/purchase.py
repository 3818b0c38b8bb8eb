"""One purchase at the provider behind an adapter: calls with fresh keys, and what came of them."""

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

#: Where an object stands before a verb and after it.
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

#: Longest that an unknown outcome is asked about.
PATIENCE_SECONDS: Final = 30

MINOR: Final = 12_50


def need(value: T | None, name: str) -> T:
    """Return what the subject offers, or skip the test."""
    if value is None:
        pytest.skip(f"The subject has no {name}.")
    return value


@dataclass
class Purchase:
    """Buys one thing for 12.50."""

    subject: Subject
    checkout_id: UUID = field(default_factory=uuid4)
    reference: str | None = None

    @property
    def amount(self) -> Money:
        """The price."""
        return Money(MINOR, self.subject.currency)

    def call(self, *, token: str | None = None, amount: Money | None = None, reference: str | None = None) -> Call:
        """Return a call about the object, with a key of its own."""
        return Call(
            checkout_id=self.checkout_id,
            key=f"conformance:{uuid4()}",
            amount=amount or self.amount,
            token=token or self.subject.tokens.ok,
            reference=reference or self.reference,
        )

    def ask(self, verb: Verb, call: Call | None = None) -> Answer:
        """Ask once, by default with a new key; whatever the answer is."""
        asked: Answer = getattr(self.subject.gateway, verb)(call or self.call())
        if verb is Verb.OPEN and isinstance(asked, Succeeded):
            self.reference = asked.reference
        return asked

    def insist(self, verb: Verb, call: Call | None = None) -> Answer:
        """Ask with the same key until the answer is definite."""
        same = call or self.call()
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while isinstance(answer := self.ask(verb, same), Unknown | Transient):
            assert time.monotonic() < ends_at, answer
            time.sleep(0.05)
        return answer

    def retrieve(self) -> Answer:
        """Return what the provider shows of the object."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while isinstance(answer := self.subject.gateway.retrieve(self.call()), Unknown | Transient):
            assert time.monotonic() < ends_at, answer
            time.sleep(0.05)
        return answer

    def bring_to(self, status: PaymentStatus | None) -> "Purchase":
        """Bring the object to this status by the ordinary way; None is before there is any."""
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
        """Return where the object stands; None if this purchase knows of none."""
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
        """Return what the provider itself says was captured and given back."""
        assert self.reference is not None
        return self.subject.movements(self.reference)

    def assert_stands(self, status: PaymentStatus | None) -> None:
        """Assert that the object stands there, that just the money moved that goes with it, and that it is alone."""
        assert self.status() == status
        if self.subject.count_objects is not None:
            assert self.subject.count_objects(self.checkout_id) == (0 if status is None else 1)
        if status is not None:
            captured = MINOR if status in (CAPTURED, REFUNDED) else 0
            assert self.movements() == (captured, MINOR if status is REFUNDED else 0)
