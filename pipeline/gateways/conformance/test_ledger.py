"""The provider's own list of its objects, which reconciliation compares with the database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.conformance.purchase import (
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    MINOR,
    OPEN,
    PENDING,
    REFUNDED,
    Purchase,
)
from pipeline.gateways.conformance.subject import Subject
from pipeline.gateways.gateway import Held

#: The largest difference between the clocks of the provider and of this machine.
CLOCKS: timedelta = timedelta(minutes=5)


def list_of(subject: Subject, *purchases: Purchase) -> list[Held]:
    """Return what the provider lists of these purchases."""
    ids = {purchase.checkout_id for purchase in purchases}
    since = datetime.now(UTC) - CLOCKS - timedelta(minutes=10)
    return [held for held in subject.gateway.list_held(since) if held.checkout_id in ids]


def test_each_object_is_listed_once_with_what_it_holds(subject: Subject) -> None:
    """Status, amount, captured and refunded sums, and the checkout: as the verbs left them."""
    statuses = [OPEN, AUTHORIZED, CAPTURED, CANCELLED, REFUNDED]
    statuses += [PENDING] if subject.tokens.action is not None else []
    wanted: dict[UUID, tuple[str | None, PaymentStatus, int, int]] = {}
    purchases = [Purchase(subject).bring_to(status) for status in statuses]
    for purchase, status in zip(purchases, statuses, strict=True):
        captured = MINOR if status in (CAPTURED, REFUNDED) else 0
        refunded = MINOR if status is REFUNDED else 0
        wanted[purchase.checkout_id] = (purchase.reference, status, captured, refunded)

    listed = list_of(subject, *purchases)

    assert len(listed) == len(purchases)
    found = {
        held.checkout_id: (held.reference, held.status, held.captured_minor, held.refunded_minor) for held in listed
    }
    assert found == wanted
    assert {held.amount for held in listed} == {Money(MINOR, subject.currency)}
    assert all(abs(datetime.now(UTC) - held.created_at) < CLOCKS for held in listed)


def test_a_second_object_of_one_checkout_is_listed_too(subject: Subject) -> None:
    """An object whose answer was lost is found by the checkout that it names."""
    purchase = Purchase(subject).bring_to(OPEN)
    first = purchase.reference
    purchase.bring_to(AUTHORIZED)

    listed = list_of(subject, purchase)

    assert {(held.reference, held.status) for held in listed} == {(first, OPEN), (purchase.reference, AUTHORIZED)}


def test_what_is_older_is_not_listed(subject: Subject) -> None:
    """Only objects created since then: the list is as short as requested."""
    purchase = Purchase(subject).bring_to(OPEN)

    listed = list(subject.gateway.list_held(datetime.now(UTC) + timedelta(hours=1)))

    assert purchase.checkout_id not in {held.checkout_id for held in listed}
