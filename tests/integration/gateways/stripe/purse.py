"""What these tests pay with, and how they call."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from models.money import Money
from pipeline.gateways.gateway import Call, Succeeded
from pipeline.gateways.stripe.gateway import StripeGateway


@dataclass(frozen=True, slots=True)
class Purse:
    """PaymentMethods, as the browser made them."""

    good: str
    declined: str
    challenged: str


def make_call(reference: str | None = None, *, token: str = "", checkout_id: UUID | None = None) -> Call:
    """Return a call over 10.00 EUR with a key of its own."""
    return Call(checkout_id or uuid4(), f"key-{uuid4()}", Money(1000, "EUR"), token, reference)


def open_intent(gateway: StripeGateway) -> str:
    """Open an intent over 10.00 EUR; returns its id."""
    answer = gateway.open(make_call())
    assert isinstance(answer, Succeeded)
    return answer.reference


def authorize_intent(gateway: StripeGateway, purse: Purse) -> str:
    """Open an intent and authorise it; returns its id."""
    reference = open_intent(gateway)
    assert isinstance(gateway.authorize(make_call(reference, token=purse.good)), Succeeded)
    return reference
