"""Partial refunds, and the charge with its refunds and disputes."""

import time
from dataclasses import replace
from uuid import uuid4

import pytest

from models.money import Money
from pipeline.gateways.charges import (
    REFUND_EXCEEDS_CHARGE,
    Charge,
    ChargeCall,
    ChargeVerb,
    DisputeState,
    FindRefundAnswer,
    RefundAbsent,
    Refunded,
    RefundState,
)
from pipeline.gateways.conformance.purchase import AUTHORIZED, CAPTURED, MINOR, REFUNDED, REPEAT_SECONDS, Purchase, need
from pipeline.gateways.conformance.subject import Fault, Subject
from pipeline.gateways.conformance.test_unknown import DONE_AND_HIDDEN, HIDDEN
from pipeline.gateways.gateway import Declined, Misconfigured, Transient, Unknown

PART = 4_00


def call_of(purchase: Purchase, minor: int) -> ChargeCall:
    """Return a call about the charge of a purchase, with a new key."""
    assert purchase.reference is not None
    amount = Money(minor, purchase.amount.currency)
    return ChargeCall(purchase.checkout_id, purchase.reference, f"conformance:{uuid4()}", amount)


def refund(purchase: Purchase, call: ChargeCall) -> Refunded | Declined | Misconfigured:
    """Repeat a refund with its key until the answer is definite."""
    ends_at = time.monotonic() + REPEAT_SECONDS
    while isinstance(answer := purchase.subject.gateway.refund_amount(call), Unknown | Transient):
        assert time.monotonic() < ends_at, answer
        time.sleep(0.05)
    return answer


def find(purchase: Purchase, call: ChargeCall) -> FindRefundAnswer:
    """Look for the refund of a key until the answer is definite."""
    ends_at = time.monotonic() + REPEAT_SECONDS
    while isinstance(answer := purchase.subject.gateway.find_refund(call), Unknown | Transient):
        assert time.monotonic() < ends_at, answer
        time.sleep(0.05)
    return answer


def read_charge(purchase: Purchase) -> Charge:
    """Retrieve the charge of a purchase."""
    ends_at = time.monotonic() + REPEAT_SECONDS
    while not isinstance(answer := purchase.subject.gateway.retrieve_charge(call_of(purchase, 1)), Charge):
        assert time.monotonic() < ends_at, answer
        time.sleep(0.05)
    return answer


def movements(purchase: Purchase) -> tuple[int, int]:
    """Return what the provider captured and refunded."""
    assert purchase.reference is not None
    return purchase.subject.movements(purchase.reference)


def test_parts_add_up_to_the_whole(subject: Subject) -> None:
    """Two parts are two refunds; the last one ends the payment."""
    purchase = Purchase(subject).bring_to(CAPTURED)
    first, rest = call_of(purchase, PART), call_of(purchase, MINOR - PART)

    answer = refund(purchase, first)

    assert isinstance(answer, Refunded)
    assert (answer.refund.amount, answer.refund.operation_id) == (first.amount, first.key)
    assert answer.refund.state is not RefundState.FAILED
    assert (movements(purchase), purchase.status()) == ((MINOR, PART), CAPTURED)
    assert isinstance(refund(purchase, rest), Refunded)
    assert (movements(purchase), purchase.status()) == ((MINOR, MINOR), REFUNDED)


@pytest.mark.parametrize(("currency", "minor", "part"), [("JPY", 1250, 401), ("BHD", 12_500, 4_010)])
def test_parts_add_up_in_other_units(subject: Subject, currency: str, minor: int, part: int) -> None:
    """Without decimals and with three: what was captured is refunded in parts, and no unit more."""
    if subject.gateway.chargeable(Money(minor, currency)) != Money(minor, currency):
        pytest.skip(f"The subject does not charge {Money(minor, currency)}.")
    purchase = Purchase(subject, price=Money(minor, currency)).bring_to(CAPTURED)
    first, over, rest = (call_of(purchase, each) for each in (part, minor - part + 1, minor - part))

    answers = [refund(purchase, each) for each in (first, over, rest)]

    assert [type(each) for each in answers] == [Refunded, Declined, Refunded]
    charge = read_charge(purchase)
    assert charge.captured == Money(minor, currency)
    assert [each.amount for each in charge.refunds] == [Money(part, currency), Money(minor - part, currency)]
    assert purchase.status() == REFUNDED


@pytest.mark.parametrize("fault", [*HIDDEN, *DONE_AND_HIDDEN])
def test_a_refund_of_unknown_outcome_is_found_or_absent(subject: Subject, fault: Fault) -> None:
    """What the engine does before it uses another key: it asks, and the answer is what has happened."""
    provoke = need(subject.provoke, "provoke")
    if fault not in subject.faults:
        pytest.skip(f"The subject's faults have no {fault}.")
    purchase = Purchase(subject).bring_to(CAPTURED)
    with provoke(fault, ChargeVerb.REFUND_AMOUNT, subject.tokens.ok) as token:
        call = replace(call_of(purchase, PART), token=token)
        answer = subject.gateway.refund_amount(call)
    assert isinstance(answer, Unknown)

    found = find(purchase, call)

    if fault in HIDDEN:
        assert (found, movements(purchase)) == (RefundAbsent(), (MINOR, 0))
    else:
        assert isinstance(found, Refunded)
        assert (found.refund.amount, found.refund.operation_id) == (call.amount, call.key)
        assert movements(purchase) == (MINOR, PART)
    # The same key, once more: there is one refund.
    repeated = refund(purchase, call)
    assert isinstance(repeated, Refunded)
    assert found in (RefundAbsent(), repeated)
    assert [each.operation_id for each in read_charge(purchase).refunds] == [call.key]
    assert movements(purchase) == (MINOR, PART)


def test_a_key_is_one_refund(subject: Subject) -> None:
    """A repeat has the same answer, and no second effect."""
    purchase = Purchase(subject).bring_to(CAPTURED)
    call = call_of(purchase, PART)

    first, again = refund(purchase, call), refund(purchase, call)

    assert isinstance(first, Refunded)
    assert isinstance(again, Refunded)
    assert first.refund.reference == again.refund.reference
    assert movements(purchase) == (MINOR, PART)


def test_more_than_the_rest_is_declined_and_moves_nothing(subject: Subject) -> None:
    """With the code of the contract."""
    purchase = Purchase(subject).bring_to(CAPTURED)
    assert isinstance(refund(purchase, call_of(purchase, PART)), Refunded)

    answer = refund(purchase, call_of(purchase, MINOR - PART + 1))

    assert isinstance(answer, Declined)
    assert answer.code == REFUND_EXCEEDS_CHARGE
    assert movements(purchase) == (MINOR, PART)


def test_what_is_not_captured_is_not_refunded(subject: Subject) -> None:
    """It is a definite no."""
    purchase = Purchase(subject).bring_to(AUTHORIZED)

    assert isinstance(refund(purchase, call_of(purchase, PART)), Declined | Misconfigured)
    assert movements(purchase)[1] == 0


def test_an_unknown_payment_is_an_operators_matter(subject: Subject) -> None:
    """It is neither refunded nor said to have no refund: the engine would use a new key."""
    purchase = Purchase(subject).bring_to(CAPTURED)
    call = replace(call_of(purchase, PART), reference=f"{purchase.reference}x")

    answers = refund(purchase, call), subject.gateway.find_refund(call), subject.gateway.retrieve_charge(call)

    assert [type(each) for each in answers] == [Misconfigured] * 3
    assert movements(purchase) == (MINOR, 0)


def test_a_refund_is_found_by_its_key(subject: Subject) -> None:
    """Another key is absent: the engine may then use a new one."""
    purchase = Purchase(subject).bring_to(CAPTURED)
    call = call_of(purchase, PART)
    made = refund(purchase, call)
    assert isinstance(made, Refunded)

    found = subject.gateway.find_refund(call)

    assert isinstance(found, Refunded)
    assert (found.refund.reference, found.refund.amount) == (made.refund.reference, call.amount)
    assert subject.gateway.find_refund(call_of(purchase, PART)) == RefundAbsent()


def test_the_charge_shows_every_refund(subject: Subject) -> None:
    """With its amount and the key that it was made with, the oldest first."""
    purchase = Purchase(subject).bring_to(CAPTURED)
    calls = [call_of(purchase, minor) for minor in (1_00, 2_00, 3_00)]
    for call in calls:
        assert isinstance(refund(purchase, call), Refunded)

    charge = read_charge(purchase)

    assert (charge.reference, charge.captured) == (purchase.reference, purchase.amount)
    assert [(each.amount, each.operation_id) for each in charge.refunds] == [(call.amount, call.key) for call in calls]
    assert charge.disputes == ()


def test_a_refund_that_failed_later_is_shown(subject: Subject) -> None:
    """The shop has the money again."""
    fail_refund = need(subject.fail_refund, "fail_refund")
    purchase = Purchase(subject).bring_to(CAPTURED)
    made = refund(purchase, call_of(purchase, PART))
    assert isinstance(made, Refunded)

    fail_refund(made.refund.reference)

    assert [each.state for each in read_charge(purchase).refunds] == [RefundState.FAILED]


def test_a_dispute_is_shown(subject: Subject) -> None:
    """Open, with its amount."""
    open_dispute = need(subject.open_dispute, "open_dispute")
    purchase = Purchase(subject).bring_to(CAPTURED)
    assert purchase.reference is not None

    open_dispute(purchase.reference, PART)

    (shown,) = read_charge(purchase).disputes
    assert (shown.amount, shown.state) == (Money(PART, subject.currency), DisputeState.OPEN)
