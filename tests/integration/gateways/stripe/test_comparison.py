"""Reconciliation with Stripe, through the whole engine, and its repair."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.gateways.stripe.gateway import StripeGateway
from pipeline.settings import Settings
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.purse import Purse
from tests.integration.gateways.stripe.setting import choose_stripe
from tests.integration.reconciliation.counter import compare, make_object, move, outcomes, repair
from tests.support.harness import Shelf, Works, build_works


@pytest.fixture
def works(engine: Engine, settings: Settings, front: Front) -> Iterator[Works]:
    """The engine with `CHECKOUT_GATEWAY=stripe`."""
    with build_works(engine, choose_stripe(settings, front.url)) as built:
        assert isinstance(built.gateway, StripeGateway)
        yield built


def differences(works: Works) -> list[tuple[str, UUID, str | None]]:
    # The account has the objects of other tests too, which are notes.
    return [(each.kind.value, each.checkout_id, each.reference) for each in compare(works).differences]


def test_payments_that_agree_have_no_findings_and_a_refund_by_hand_is_found(
    works: Works, shelf: Shelf, purse: Purse
) -> None:
    # Given an order, a checkout that was declined, and one that waits for its buyer
    shelf.add_variant("cup", stock=9, price_minor=250)
    paid = works.start(shelf.add_cart(("cup", 2)), token=purse.good)
    declined = works.start(shelf.add_cart(("cup", 2)), token=purse.declined)
    works.start(shelf.add_cart(("cup", 2)))
    works.pump()
    assert works.states([paid, declined]) == ["completed", "failed"]
    comparison = compare(works)
    assert (comparison.differences, comparison.payments) == ((), 2)
    # When the money of the order is refunded at Stripe
    move(works, paid, "refund")
    # Then it is found, and recorded as a change of the order
    assert [(kind, checkout_id) for kind, checkout_id, _ in differences(works)] == [("refund_not_recorded", paid)]
    assert len(repair(works, compare(works).findings)) == 1
    assert compare(works).differences == ()
    changes = shelf.rows("SELECT kind, state, actor, amount_minor FROM order_changes")
    assert changes == [("refund", "done", "provider", 500)]


@pytest.mark.parametrize(("upto", "did"), [("authorize", "cancelled"), ("capture", "refunded")])
def test_a_second_intent_for_a_checkout_is_voided_or_refunded(
    upto: str, did: str, works: Works, shelf: Shelf, purse: Purse
) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    paid = works.start(shelf.add_cart(("cup", 2)), token=purse.good)
    works.pump()
    orphan = make_object(works.gateway, paid, upto, token=purse.good)
    findings = compare(works).differences
    assert [(each.kind.value, each.reference) for each in findings] == [("orphaned_payment", orphan)]
    # When
    repairs = repair(works, findings)
    # Then
    assert outcomes(repairs) == [("orphaned_payment", did, "5.00 EUR", None)]
    assert differences(works) == []
