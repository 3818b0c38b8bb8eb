"""What has a safe rule is settled, once, with the bank's own ledger to show for it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from pipeline.errors import Unavailable
from pipeline.gateways.gateway import Answer, Unknown
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.settings import Settings
from tests.integration.reconciliation.counter import (
    adopt,
    assert_clean,
    bank_entries,
    check_out,
    compare,
    make_object,
    move,
    outcomes,
    own_reference,
    repair,
    repair_events,
)
from tests.support.harness import Shelf, Works, build_works
from tests.support.workbench import Spy, read_bank, take_snapshot


@pytest.fixture
def works(engine: Engine, settings: Settings) -> Iterator[Works]:
    """The engine without an audit at its end: some of these tests leave broken data."""
    with build_works(engine, settings) as built:
        yield built


def test_money_kept_without_an_order_is_refunded(works: Works, shelf: Shelf) -> None:
    # Given a failed checkout whose object was captured in the dashboard
    checkout_id = check_out(works, shelf, "tok_declined")
    reference = adopt(shelf, checkout_id, make_object(works.gateway, checkout_id, "capture"))
    # When
    repairs = repair(works, compare(works).findings)
    # Then
    assert outcomes(repairs) == [("charged_without_order", "refunded", "5.00 EUR", None)]
    assert bank_entries(shelf, reference) == [("authorize", 500), ("capture", 500), ("refund", 500)]
    assert read_bank(shelf.engine, checkout_id) == BankTotals(0, 500, 500)
    assert shelf.rows("SELECT status FROM payments") == [("refunded",)]
    assert repair_events(shelf, checkout_id) == [("payment.reconciled", "5.00 EUR", "refunded")]
    assert_clean(works)


def test_a_live_authorisation_is_voided(works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf, "tok_declined")
    reference = adopt(shelf, checkout_id, make_object(works.gateway, checkout_id, "authorize"))
    repairs = repair(works, compare(works).findings)
    assert outcomes(repairs) == [("live_authorization", "voided", "5.00 EUR", None)]
    assert bank_entries(shelf, reference) == [("authorize", 500), ("cancel", 500)]
    assert repair_events(shelf, checkout_id) == [("payment.reconciled", "5.00 EUR", "cancelled")]
    assert_clean(works)


def test_a_stored_status_that_is_behind_is_updated(works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf, "tok_declined")
    reference = adopt(shelf, checkout_id, make_object(works.gateway, checkout_id, "refund"))
    repairs = repair(works, compare(works).findings)
    assert outcomes(repairs) == [("status_differs", "recorded as refunded", "5.00 EUR", None)]
    assert bank_entries(shelf, reference) == [("authorize", 500), ("capture", 500), ("refund", 500)]
    assert shelf.rows("SELECT status FROM payments") == [("refunded",)]
    assert repair_events(shelf, checkout_id) == [("payment.reconciled", "5.00 EUR", "refunded")]
    assert_clean(works)


@pytest.mark.parametrize(
    "fault", ["timeout_before", "timeout_after", "error", "error_after", "malformed", "unavailable"]
)
@pytest.mark.parametrize("is_stray", [True, False])
def test_a_lost_answer_is_repeated_and_money_is_refunded_once(
    fault: str, *, is_stray: bool, works: Works, shelf: Shelf
) -> None:
    # Given
    checkout_id = check_out(works, shelf, f"tok_declined+tok_refund_{fault}")
    reference = make_object(works.gateway, checkout_id, "capture")
    if not is_stray:
        adopt(shelf, checkout_id, reference)
    # When
    repairs = repair(works, compare(works).findings)
    # Then
    assert [(each.did, each.reason) for each in repairs] == [("refunded", None)]
    assert bank_entries(shelf, reference) == [("authorize", 500), ("capture", 500), ("refund", 500)]
    assert_clean(works)


def test_a_refund_that_the_bank_refuses_needs_review_and_is_left_to_the_operator(works: Works, shelf: Shelf) -> None:
    # Given
    checkout_id = check_out(works, shelf, "tok_declined+tok_refund_declined")
    reference = adopt(shelf, checkout_id, make_object(works.gateway, checkout_id, "capture"))
    # When
    repairs = repair(works, compare(works).findings)
    # Then
    review = shelf.row("SELECT review->>'message' AS message FROM payments").message
    assert review.startswith("5.00 EUR could not be refunded")
    assert outcomes(repairs) == [("charged_without_order", "not settled", None, review)]
    (standing,) = compare(works).findings
    assert (standing.kind, standing.remedy) == ("charged_without_order", None)
    # and a second repair leaves it to the person
    before = take_snapshot(works.engine)
    assert repair(works, compare(works).findings) == []
    assert take_snapshot(works.engine) == before
    # until they have settled it at the bank
    with works.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE sandbox.payments SET status = 'refunded', refunded_minor = 500 WHERE captured_minor = 500;"
            f"INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES ('{reference}', 'refund', 500)"
        )
    assert outcomes(repair(works, compare(works).findings)) == [
        ("status_differs", "recorded as refunded", "5.00 EUR", None)
    ]
    assert shelf.row("SELECT review FROM payments").review is None
    assert_clean(works)


def test_what_has_no_rule_is_not_touched(works: Works, shelf: Shelf) -> None:
    # Given one of each
    unpaid = check_out(works, shelf)
    move(works, unpaid, "refund")
    differs = check_out(works, shelf)
    own = own_reference(works.engine, differs)
    shelf.run("UPDATE sandbox.payments SET refunded_minor = 1 WHERE reference = :r", r=own)
    missing = check_out(works, shelf)
    gone = own_reference(works.engine, missing)
    shelf.run("DELETE FROM sandbox.payments WHERE reference = :r", r=gone)
    shelf.add_variant("pot", stock=3)
    reviewed = works.start(shelf.add_cart(("pot", 2)), token="tok_ok")
    works.pump(until="payment_capture")
    shelf.run(
        "UPDATE checkouts SET state = 'needs_review', review = '{}', due_at = NULL, due_reason = NULL WHERE id = :id",
        id=reviewed,
    )
    orphan = make_object(works.gateway, reviewed, "capture")
    make_object(works.gateway, uuid4(), "capture")
    before, findings = take_snapshot(works.engine), compare(works).findings
    # When
    repairs = repair(works, findings)
    # Then
    assert sorted((each.kind.value, each.reference) for each in findings if not each.is_note) == sorted(
        [
            ("order_without_charge", own_reference(works.engine, unpaid)),
            ("amount_differs", own),
            ("missing_at_provider", gone),
            ("live_authorization", own_reference(works.engine, reviewed)),
            ("orphaned_payment", orphan),
        ]
    )
    assert repairs == []
    assert take_snapshot(works.engine) == before


def test_two_repairs_at_once_refund_once(works: Works, shelf: Shelf) -> None:
    # Given
    kept = check_out(works, shelf, "tok_declined")
    own = adopt(shelf, kept, make_object(works.gateway, kept, "capture"))
    doubled = check_out(works, shelf, "tok_declined")
    orphan = make_object(works.gateway, doubled, "capture")
    findings = compare(works).findings
    # When
    with ThreadPoolExecutor(2) as pool:
        both = [future.result(30) for future in [pool.submit(repair, works, findings) for _ in range(2)]]
    # Then
    assert [[each.is_settled for each in repairs] for repairs in both] == [[True, True], [True, True]]
    for reference in (own, orphan):
        assert bank_entries(shelf, reference) == [("authorize", 500), ("capture", 500), ("refund", 500)]
    assert repair_events(shelf, doubled) == [("payment.orphan_settled", "5.00 EUR", "refunded")]
    assert_clean(works)


def test_more_than_a_batch_is_settled(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    with build_works(engine, settings.model_copy(update={"batch_size": 4})) as works:
        ids = [check_out(works, shelf, "tok_declined") for _ in range(10)]
        references = [adopt(shelf, each, make_object(works.gateway, each, "capture")) for each in ids]
        repairs = repair(works, compare(works).findings)
        assert [(each.did, each.reason) for each in repairs] == [("refunded", None)] * 10
        assert [bank_entries(shelf, each)[-1] for each in references] == [("refund", 500)] * 10
        assert_clean(works)


def test_a_provider_that_does_not_answer_leaves_all_as_it_was(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given
    with build_works(engine, settings) as works:
        checkout_id = check_out(works, shelf, "tok_declined")
        adopt(shelf, checkout_id, make_object(works.gateway, checkout_id, "capture"))
        findings = compare(works).findings

        def be_away(_verb: str, _answer: Answer) -> Answer:
            return Unknown("timeout")

        works.executor.close()
        works.use(Spy(works.gateway, replace=be_away))
        # When
        with pytest.raises(Unavailable) as refusal:
            repair(works, findings)
        # Then
        assert refusal.value.detail == {"reason": "no payment was retrieved"}
        assert read_bank(engine, checkout_id) == BankTotals(0, 500, 0)
        assert repair_events(shelf, checkout_id) == []
        # and it is settled once it answers
        works.executor.close()
        works.use(works.gateway)
        assert outcomes(repair(works, findings)) == [("charged_without_order", "refunded", "5.00 EUR", None)]
        assert_clean(works)


def test_a_bank_of_which_every_fifth_call_fails_is_settled_all_the_same(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    # Given twelve failed checkouts with money at the bank, and twelve with an orphaned payment
    with build_works(engine, settings) as works:
        kept = [check_out(works, shelf, "tok_declined") for _ in range(12)]
        references = [adopt(shelf, each, make_object(works.gateway, each, "capture")) for each in kept]
        doubled = [check_out(works, shelf, "tok_declined") for _ in range(12)]
        references += [make_object(works.gateway, each, "capture") for each in doubled]
    shaky = settings.with_gateway_options(fault_rate=0.2, fault_seed=4)
    with build_works(engine, shaky) as works:
        # When
        findings = compare(works).findings
        repairs = repair(works, findings)
        # Then
        assert len(findings) == 24
        assert [each.reason for each in repairs] == [None] * 24
        for reference in references:
            assert bank_entries(shelf, reference) == [("authorize", 500), ("capture", 500), ("refund", 500)]
        assert_clean(works)
