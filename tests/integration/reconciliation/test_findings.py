"""Each difference between the database and the bank is found, with both sides' facts, and nothing else."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from pipeline.reconciliation.explanations import sentence
from pipeline.settings import Settings
from tests.integration.reconciliation.counter import (
    adopt,
    check_out,
    compare,
    facts,
    make_object,
    move,
    own_reference,
)
from tests.support.harness import Shelf, Works, build_works
from tests.support.workbench import take_snapshot


@pytest.fixture
def works(engine: Engine, settings: Settings) -> Iterator[Works]:
    """The engine without an audit at its end: these tests leave broken data."""
    with build_works(engine, settings) as built:
        yield built


def test_a_clean_database_has_no_findings(works: Works, shelf: Shelf) -> None:
    # Given whatever a checkout can come to, or be in the middle of
    shelf.add_variant("cup", stock=200)
    shelf.add_variant("gift", stock=9, price_minor=0)

    def cart() -> UUID:
        return shelf.add_cart(("cup", 1))

    paid = [works.start(cart(), token="tok_ok") for _ in range(60)]
    declined = [works.start(cart(), token="tok_declined") for _ in range(20)]
    undone = [works.start(cart(), token="tok_capture_declined") for _ in range(10)]
    gift = works.start(shelf.add_cart(("gift", 1)), token="tok_ok")
    waiting = [works.start(cart()) for _ in range(5)]
    works.pump()
    authorized = [works.start(cart(), token="tok_ok") for _ in range(5)]
    works.pump(until="payment_capture")
    before = take_snapshot(works.engine)
    # When
    comparison = compare(works)
    # Then
    assert works.states([*paid, gift]) == ["completed"] * 61
    assert works.states([*declined, *undone]) == ["failed"] * 30
    assert works.states([*waiting, *authorized]) == ["awaiting_payment"] * 5 + ["running"] * 5
    assert (comparison.findings, comparison.objects) == ((), 95)
    # and every ended checkout with a payment was looked up, the free one too
    assert comparison.payments == 91
    assert take_snapshot(works.engine) == before


@pytest.mark.parametrize(
    ("upto", "found"),
    [
        ("capture", ("charged_without_order", "captured", 500, None)),
        ("authorize", ("live_authorization", "authorized", 0, 500)),
        ("refund", ("status_differs", "refunded", 0, None)),
    ],
)
def test_what_the_bank_has_of_a_failed_checkout(
    upto: str, found: tuple[str, str, int, int | None], works: Works, shelf: Shelf
) -> None:
    checkout_id = check_out(works, shelf, "tok_declined")
    reference = adopt(shelf, checkout_id, make_object(works.gateway, checkout_id, upto))
    kind, provider, kept, authorized = found
    comparison = compare(works)
    assert facts(comparison) == [(kind, checkout_id, reference, "cancelled", provider, None, kept, authorized)]
    assert (comparison.objects, comparison.payments) == (2, 1)


def test_a_pending_buyer_action_is_a_live_authorisation(works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf, "tok_declined")
    made = make_object(works.gateway, checkout_id, "authorize", token="tok_action_required")
    reference = adopt(shelf, checkout_id, made)
    assert facts(compare(works)) == [
        ("live_authorization", checkout_id, reference, "cancelled", "action_required", None, 0, 500)
    ]


def test_an_order_whose_money_was_refunded_at_the_bank(works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf)
    move(works, checkout_id, "refund")
    comparison = compare(works)
    assert facts(comparison) == [
        (
            "order_without_charge",
            checkout_id,
            own_reference(works.engine, checkout_id),
            "captured",
            "refunded",
            500,
            0,
            None,
        )
    ]
    assert sentence(comparison.findings[0]) == (
        "The order over 5.00 EUR is placed; its payment at the provider is refunded."
        " Ask the buyer to pay again, or do not deliver."
    )


def test_an_order_for_which_no_object_was_ever_made(works: Works, shelf: Shelf) -> None:
    # Given an order without a stored object, gone at the bank too
    checkout_id = check_out(works, shelf)
    shelf.run("DELETE FROM sandbox.payments")
    shelf.force("UPDATE payments SET reference = NULL")
    assert facts(compare(works)) == [("order_without_charge", checkout_id, None, "captured", None, 500, None, None)]


@pytest.mark.parametrize("refunded", [1, 499])
def test_an_order_of_which_the_bank_refunded_a_part(refunded: int, works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf)
    shelf.run("UPDATE sandbox.payments SET refunded_minor = :minor", minor=refunded)
    reference = own_reference(works.engine, checkout_id)
    assert facts(compare(works)) == [
        ("amount_differs", checkout_id, reference, "captured", "captured", 500, 500 - refunded, None)
    ]


def test_an_order_in_another_currency_than_its_charge(works: Works, shelf: Shelf) -> None:
    check_out(works, shelf)
    shelf.run("UPDATE sandbox.payments SET currency = 'USD'")
    comparison = compare(works)
    assert [sentence(each) for each in comparison.findings] == [
        "The provider has kept 5.00 USD; the order is over 5.00 EUR."
        " Settle the difference with the buyer, at the provider."
    ]


@pytest.mark.parametrize(
    ("upto", "provider", "kept", "authorized"),
    [("open", "open", 0, None), ("authorize", "authorized", 0, 500), ("capture", "captured", 500, None)],
)
@pytest.mark.parametrize(("token", "order"), [("tok_ok", 500), ("tok_declined", None)])
def test_an_orphaned_payment_is_found_with_an_order_and_without_one(
    token: str,
    order: int | None,
    upto: str,
    provider: str,
    kept: int,
    authorized: int | None,
    works: Works,
    shelf: Shelf,
) -> None:
    checkout_id = check_out(works, shelf, token)
    stored = "captured" if order else "cancelled"
    orphan = make_object(works.gateway, checkout_id, upto)
    assert facts(compare(works)) == [
        ("orphaned_payment", checkout_id, orphan, stored, provider, order, kept, authorized),
    ]


def test_an_orphaned_payment_that_has_ended_is_no_finding(works: Works, shelf: Shelf) -> None:
    make_object(works.gateway, check_out(works, shelf), "refund")
    assert compare(works).findings == ()


def test_an_object_whose_reference_was_never_received_is_orphaned(works: Works, shelf: Shelf) -> None:
    # Given a checkout that ended without ever learning what it had opened
    checkout_id = check_out(works, shelf, "tok_declined")
    orphan = make_object(works.gateway, checkout_id, "open")
    shelf.force("UPDATE payments SET reference = NULL, status = 'new'")
    comparison = compare(works)
    assert facts(comparison) == [("orphaned_payment", checkout_id, orphan, "new", "open", None, 0, None)]
    assert sentence(comparison.findings[0]) == (
        "This object over 5.00 EUR is open; the checkout is failed and has no object of its own."
        " --repair voids it, or refunds what it captured."
    )


@pytest.mark.parametrize(
    ("token", "stored", "order"), [("tok_ok", "captured", 500), ("tok_declined", "cancelled", None)]
)
def test_an_object_that_the_bank_does_not_have(
    token: str, stored: str, order: int | None, works: Works, shelf: Shelf
) -> None:
    checkout_id = check_out(works, shelf, token)
    reference = own_reference(works.engine, checkout_id)
    shelf.run("DELETE FROM sandbox.payments")
    comparison = compare(works)
    assert facts(comparison) == [("missing_at_provider", checkout_id, reference, stored, None, order, None, None)]
    assert (comparison.objects, comparison.payments) == (0, 1)


def test_an_object_of_an_unknown_checkout_is_a_note(works: Works, shelf: Shelf) -> None:
    check_out(works, shelf)
    unknown = uuid4()
    foreign = make_object(works.gateway, unknown, "capture")
    comparison = compare(works)
    assert facts(comparison) == [("unknown_checkout", unknown, foreign, None, "captured", None, 500, None)]
    assert comparison.differences == ()


@pytest.mark.parametrize(
    ("verb", "found"),
    [
        ("capture", ("charged_without_order", "captured", 500, None)),
        (None, ("live_authorization", "authorized", 0, 500)),
    ],
)
def test_money_of_a_checkout_that_waits_for_a_person(
    verb: str | None, found: tuple[str, str, int, int | None], works: Works, shelf: Shelf
) -> None:
    # Given
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until="payment_capture")
    shelf.run("UPDATE checkouts SET state = 'needs_review', review = '{}', due_at = NULL, due_reason = NULL")
    if verb is not None:
        move(works, checkout_id, verb)
    # When, then
    kind, provider, kept, authorized = found
    comparison = compare(works)
    reference = own_reference(works.engine, checkout_id)
    assert facts(comparison) == [(kind, checkout_id, reference, "authorized", provider, None, kept, authorized)]
    assert [each.remedy for each in comparison.findings] == [None]


def test_a_payment_of_another_gateway_is_not_compared(works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf)
    shelf.run("DELETE FROM sandbox.payments")
    shelf.force("UPDATE payments SET gateway = 'other'")
    comparison = compare(works)
    assert (comparison.findings, comparison.payments) == ((), 0)
    # but an object of this one that names it is an orphaned payment
    orphan = make_object(works.gateway, checkout_id, "authorize")
    assert facts(compare(works)) == [("orphaned_payment", checkout_id, orphan, "captured", "authorized", 500, 0, 500)]


def test_what_is_older_than_the_window_is_left_out_on_both_sides(works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf)
    move(works, checkout_id, "refund")
    for table in ("payments", "sandbox.payments"):
        shelf.force(f"UPDATE {table} SET created_at = now() - interval '61 minutes'")
    comparison = compare(works)
    assert (comparison.findings, comparison.objects, comparison.payments) == ((), 0, 0)


def test_everything_at_once_is_one_finding_each(works: Works, shelf: Shelf) -> None:
    # Given
    charged = check_out(works, shelf, "tok_declined")
    held = adopt(shelf, charged, make_object(works.gateway, charged, "capture"))
    unpaid = check_out(works, shelf)
    move(works, unpaid, "refund")
    doubled = check_out(works, shelf)
    orphan = make_object(works.gateway, doubled, "capture")
    unknown = uuid4()
    foreign = make_object(works.gateway, unknown, "open")
    # When
    comparison = compare(works)
    # Then
    assert facts(comparison) == [
        ("charged_without_order", charged, held, "cancelled", "captured", None, 500, None),
        ("order_without_charge", unpaid, own_reference(works.engine, unpaid), "captured", "refunded", 500, 0, None),
        ("orphaned_payment", doubled, orphan, "captured", "captured", 500, 500, None),
        ("unknown_checkout", unknown, foreign, None, "open", None, 0, None),
    ]
    assert (len(comparison.differences), comparison.objects, comparison.payments) == (3, 6, 3)
