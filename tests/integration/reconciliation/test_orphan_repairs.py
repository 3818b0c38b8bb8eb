"""Orphaned payments are voided or refunded, unless they may pay an order."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.settings import Settings
from tests.integration.reconciliation.counter import (
    adopt,
    assert_clean,
    bank_entries,
    check_out,
    compare,
    facts,
    make_object,
    move,
    outcomes,
    own_reference,
    repair,
    repair_events,
)
from tests.support.harness import Shelf, Works, build_works
from tests.support.workbench import read_bank, take_snapshot


@pytest.fixture
def works(engine: Engine, settings: Settings) -> Iterator[Works]:
    """The engine without an audit at its end: some of these tests leave broken data."""
    with build_works(engine, settings) as built:
        yield built


@pytest.mark.parametrize(
    ("upto", "did", "status", "entries"),
    [
        ("open", "cancelled", "cancelled", []),
        ("authorize", "cancelled", "cancelled", [("authorize", 500), ("cancel", 500)]),
        ("capture", "refunded", "refunded", [("authorize", 500), ("capture", 500), ("refund", 500)]),
    ],
)
def test_an_orphaned_payment_is_voided_or_refunded(
    upto: str, did: str, status: str, entries: list[tuple[str, int]], works: Works, shelf: Shelf
) -> None:
    # Given
    checkout_id = check_out(works, shelf, "tok_declined")
    orphan = make_object(works.gateway, checkout_id, upto)
    # When
    repairs = repair(works, compare(works).findings)
    # Then
    assert outcomes(repairs) == [("orphaned_payment", did, "5.00 EUR", None)]
    assert bank_entries(shelf, orphan) == entries
    assert shelf.rows("SELECT status FROM sandbox.payments WHERE reference = :r", r=orphan) == [(status,)]
    verb = "refund" if did == "refunded" else "cancel"
    assert shelf.rows("SELECT calls FROM sandbox.requests WHERE key = :k", k=f"reconcile:{orphan}:{verb}") == [(1,)]
    assert repair_events(shelf, checkout_id) == [("payment.orphan_settled", "5.00 EUR", status)]
    assert_clean(works)


def test_a_second_charge_of_an_order_is_refunded_and_the_first_stays(works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf)
    orphan = make_object(works.gateway, checkout_id, "capture")
    repairs = repair(works, compare(works).findings)
    assert outcomes(repairs) == [("orphaned_payment", "refunded", "5.00 EUR", None)]
    assert bank_entries(shelf, orphan) == [("authorize", 500), ("capture", 500), ("refund", 500)]
    assert bank_entries(shelf, own_reference(works.engine, checkout_id)) == [("authorize", 500), ("capture", 500)]
    assert read_bank(shelf.engine, checkout_id) == BankTotals(0, 1000, 500)
    assert compare(works).findings == ()


def test_an_orphaned_payment_that_may_pay_the_order_is_left_alone(works: Works, shelf: Shelf) -> None:
    # Given an order whose own object holds nothing, and another one that holds its total
    checkout_id = check_out(works, shelf)
    orphan = make_object(works.gateway, checkout_id, "capture")
    move(works, checkout_id, "refund")
    before, findings = take_snapshot(works.engine), compare(works).findings
    # When
    repairs = repair(works, findings)
    # Then
    assert sorted(each.kind for each in findings) == ["order_without_charge", "orphaned_payment"]
    reason = "the order's own payment is not captured, and this may be what pays it"
    assert outcomes(repairs) == [("orphaned_payment", "left alone", None, reason)]
    assert bank_entries(shelf, orphan) == [("authorize", 500), ("capture", 500)]
    assert take_snapshot(works.engine) == before


def test_an_orphaned_payment_that_became_the_checkouts_own_is_left_alone(works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf, "tok_declined")
    orphan = make_object(works.gateway, checkout_id, "capture")
    findings = compare(works).findings
    adopt(shelf, checkout_id, orphan)
    before = take_snapshot(works.engine)
    assert outcomes(repair(works, findings)) == [
        ("orphaned_payment", "left alone", None, "the checkout has changed"),
    ]
    assert take_snapshot(works.engine) == before


def test_an_orphaned_payment_that_the_bank_does_not_refund_stays_a_finding(works: Works, shelf: Shelf) -> None:
    # Given
    checkout_id = check_out(works, shelf, "tok_declined+tok_refund_declined")
    orphan = make_object(works.gateway, checkout_id, "capture")
    found = facts(compare(works))
    # When
    repairs = repair(works, compare(works).findings)
    # Then
    assert outcomes(repairs) == [("orphaned_payment", "not settled", None, "the provider refuses: refund_declined")]
    assert bank_entries(shelf, orphan) == [("authorize", 500), ("capture", 500)]
    assert repair_events(shelf, checkout_id) == []
    assert facts(compare(works)) == found
