"""Partial refunds, refunds that fail later, and disputes at Stripe, as the adapter makes and reads them."""

from uuid import uuid4

import pytest

from models.money import Money
from pipeline.gateways.charges import (
    CHARGE_DISPUTED,
    REFUND_EXCEEDS_CHARGE,
    Charge,
    ChargeCall,
    DisputeState,
    RefundAbsent,
    RefundAnswer,
    Refunded,
    RefundState,
)
from pipeline.gateways.gateway import Declined, Misconfigured, Succeeded
from pipeline.gateways.stripe.gateway import StripeGateway
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.purse import Purse, authorize_intent, make_call


@pytest.fixture
def reference(gateway: StripeGateway, purse: Purse) -> str:
    """An intent over 10.00 EUR that is captured."""
    intent = authorize_intent(gateway, purse)
    assert isinstance(gateway.capture(make_call(intent)), Succeeded)
    return intent


def charge_call(reference: str, minor: int, currency: str = "EUR") -> ChargeCall:
    return ChargeCall(uuid4(), reference, f"key-{uuid4()}", Money(minor, currency))


def read_charge(gateway: StripeGateway, reference: str) -> Charge:
    found = gateway.retrieve_charge(charge_call(reference, 1))
    assert isinstance(found, Charge), found
    return found


def refund_of(answer: RefundAnswer) -> str:
    assert isinstance(answer, Refunded), answer
    return answer.refund.reference


def test_parts_add_up_and_more_than_the_rest_is_refused(gateway: StripeGateway, reference: str) -> None:
    calls = [charge_call(reference, minor) for minor in (100, 250, 300)]
    made = [refund_of(gateway.refund_amount(call)) for call in calls]

    refused = gateway.refund_amount(charge_call(reference, 351))

    assert refused == Declined(REFUND_EXCEEDS_CHARGE)
    charge = read_charge(gateway, reference)
    assert charge.captured == Money(1000, "EUR")
    assert [(each.reference, each.amount.minor, each.operation_id, each.state) for each in charge.refunds] == [
        (refund, call.amount.minor, call.key, RefundState.SUCCEEDED) for refund, call in zip(made, calls, strict=True)
    ]


def test_a_repeat_of_a_key_has_one_effect(gateway: StripeGateway, reference: str) -> None:
    call = charge_call(reference, 100)

    assert refund_of(gateway.refund_amount(call)) == refund_of(gateway.refund_amount(call))
    assert [each.amount.minor for each in read_charge(gateway, reference).refunds] == [100]


def test_a_refund_is_found_by_its_key_over_all_pages(gateway: StripeGateway, reference: str) -> None:
    calls = [charge_call(reference, minor) for minor in (10, 20, 30, 40, 50)]
    made = [refund_of(gateway.refund_amount(call)) for call in calls]

    for call, refund in zip(calls, made, strict=True):
        found = gateway.find_refund(call)
        assert isinstance(found, Refunded)
        assert (found.refund.reference, found.refund.amount) == (refund, call.amount)
    assert gateway.find_refund(charge_call(reference, 10)) == RefundAbsent()


def test_all_that_is_left_is_refunded_once(gateway: StripeGateway, reference: str) -> None:
    refund_of(gateway.refund_amount(charge_call(reference, 1000)))

    assert gateway.refund_amount(charge_call(reference, 1)) == Declined(REFUND_EXCEEDS_CHARGE)


def test_a_refund_that_fails_later_is_shown(gateway: StripeGateway, front: Front, reference: str) -> None:
    refund = refund_of(gateway.refund_amount(charge_call(reference, 400)))

    front.provider.aftermath.fail_refund(refund)

    (shown,) = read_charge(gateway, reference).refunds
    assert (shown.state, shown.failure) == (RefundState.FAILED, "expired_or_canceled_card")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("warning_needs_response", DisputeState.OPEN),
        ("needs_response", DisputeState.OPEN),
        ("under_review", DisputeState.OPEN),
        ("warning_closed", DisputeState.WON),
        ("won", DisputeState.WON),
        ("lost", DisputeState.LOST),
    ],
)
def test_a_dispute_is_shown_in_its_state(
    gateway: StripeGateway, front: Front, reference: str, status: str, state: DisputeState
) -> None:
    dispute = front.provider.aftermath.open_dispute(reference, 700)
    front.provider.aftermath.decide(dispute, status)

    (shown,) = read_charge(gateway, reference).disputes

    assert (shown.reference, shown.amount, shown.state, shown.reason) == (
        dispute,
        Money(700, "EUR"),
        state,
        "fraudulent",
    )


def test_what_is_disputed_is_refused(gateway: StripeGateway, front: Front, reference: str) -> None:
    front.provider.aftermath.open_dispute(reference, 700)

    assert gateway.refund_amount(charge_call(reference, 301)) == Declined(CHARGE_DISPUTED)
    assert refund_of(gateway.refund_amount(charge_call(reference, 300)))


def test_an_unknown_intent_is_an_operators_matter(gateway: StripeGateway) -> None:
    assert gateway.retrieve_charge(charge_call("pi_0", 1)) == Misconfigured("payment_unknown")
    assert gateway.refund_amount(charge_call("pi_0", 1)) == Misconfigured("payment_unknown")


def test_the_list_for_reconciliation_counts_what_is_disputed(
    gateway: StripeGateway, front: Front, reference: str
) -> None:
    refund_of(gateway.refund_amount(charge_call(reference, 100)))
    front.provider.aftermath.open_dispute(reference, 700)
    charge = read_charge(gateway, reference)

    (held,) = [each for each in gateway.list_held(charge.refunds[0].created_at) if each.reference == reference]

    assert (held.captured_minor, held.refunded_minor, held.disputed_minor) == (1000, 100, 700)
