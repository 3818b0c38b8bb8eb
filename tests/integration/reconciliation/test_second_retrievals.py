"""The comparison runs beside workers, and beside a provider that does not always answer."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.errors import Code, Unavailable
from pipeline.gateways.gateway import Answer, Held, Misconfigured, Transient, Unknown
from pipeline.reconciliation import comparison as module
from pipeline.reconciliation.provider_queries import MAX_ATTEMPTS
from pipeline.settings import Settings
from tests.integration.reconciliation.counter import (
    Listing,
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


def verbs(listing: Listing) -> list[str]:
    return [verb for verb, _ in listing.calls]


@pytest.mark.parametrize(
    ("until", "retrievals"),
    [
        ("payment_authorization", 1),  # not in the list yet
        ("payment_capture", 1),  # only authorised in the list
        ("stock_commit", 0),  # as it should be
    ],
)
def test_a_checkout_that_completes_after_the_list_is_no_difference(
    until: str, retrievals: int, works: Works, shelf: Shelf
) -> None:
    # Given a checkout in the middle
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until=until)

    def finish(held: list[Held]) -> Iterator[Held]:
        works.pump()
        yield from held

    listing = Listing(works.gateway, listed=finish)
    # When
    comparison = compare(works, listing)
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert comparison.findings == ()
    # What looked wrong was retrieved.
    assert verbs(listing) == ["retrieve"] * retrievals


def test_a_checkout_that_unwinds_after_the_list_is_no_difference(works: Works, shelf: Shelf) -> None:
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_capture_declined")
    works.pump(until="payment_capture")

    def finish(held: list[Held]) -> Iterator[Held]:
        works.pump()
        yield from held

    listing = Listing(works.gateway, listed=finish)
    assert compare(works, listing).findings == ()
    assert works.states([checkout_id]) == ["failed"]
    assert verbs(listing) == ["retrieve"]


def test_what_was_made_after_the_list_is_not_missing_from_it(works: Works, shelf: Shelf) -> None:
    made: list[UUID] = []

    def add(held: list[Held]) -> Iterator[Held]:
        made.append(check_out(works, shelf))
        yield from held

    listing = Listing(works.gateway, listed=add)
    comparison = compare(works, listing)
    assert works.states(made) == ["completed"]
    assert (comparison.findings, comparison.objects, comparison.payments) == ((), 0, 0)
    assert verbs(listing) == []


def test_what_a_list_leaves_out_is_retrieved_before_it_is_missing(works: Works, shelf: Shelf) -> None:
    # Given a list with an edge: two objects are on the other side of it, one of them refunded by hand
    ids = [check_out(works, shelf) for _ in range(3)]
    move(works, ids[2], "refund")
    kept = own_reference(works.engine, ids[0])
    listing = Listing(works.gateway, listed=lambda held: iter([each for each in held if each.reference == kept]))
    # When
    comparison = compare(works, listing)
    # Then the one that is there is fine, and the other is judged by what it shows
    gone = own_reference(works.engine, ids[2])
    assert facts(comparison) == [("order_without_charge", ids[2], gone, "captured", "refunded", 500, 0, None)]
    assert verbs(listing) == ["retrieve", "retrieve"]
    assert (comparison.objects, comparison.payments) == (1, 3)


def test_a_difference_on_what_has_not_changed_is_believed_at_once(works: Works, shelf: Shelf) -> None:
    checkout_id = check_out(works, shelf)
    move(works, checkout_id, "refund")
    listing = Listing(works.gateway)
    assert len(compare(works, listing).findings) == 1
    assert verbs(listing) == []


@pytest.mark.parametrize(("changes", "retrievals"), [(0, 1), (1, 2), (9, 3)])
def test_what_changes_during_its_retrieval_is_retrieved_again_but_not_for_ever(
    changes: int, retrievals: int, works: Works, shelf: Shelf
) -> None:
    # Given a difference on a checkout that changed after the beginning, and goes on changing
    checkout_id = check_out(works, shelf)
    move(works, checkout_id, "refund")
    left = changes

    def touch(_verb: str, _call: object) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            shelf.run("UPDATE checkouts SET updated_at = clock_timestamp()")

    def begin(held: list[Held]) -> Iterator[Held]:
        shelf.run("UPDATE checkouts SET updated_at = clock_timestamp()")
        yield from held

    listing = Listing(works.gateway, after=touch, listed=begin)
    # When, then
    assert [each.kind for each in compare(works, listing).findings] == ["order_without_charge"]
    assert verbs(listing) == ["retrieve"] * retrievals


def test_an_object_without_metadata_belongs_to_the_payment_that_refers_to_it(works: Works, shelf: Shelf) -> None:
    # Given the object of an order, and one of no checkout
    checkout_id = check_out(works, shelf)
    own = own_reference(works.engine, checkout_id)
    other = make_object(works.gateway, checkout_id, "capture")
    move(works, checkout_id, "refund")

    def strip(held: list[Held]) -> Iterator[Held]:
        for each in held:
            yield Held(
                each.reference,
                None,
                each.status,
                each.amount,
                each.captured_minor,
                each.refunded_minor,
                each.created_at,
            )

    # When
    comparison = compare(works, Listing(works.gateway, listed=strip))
    # Then
    assert other != own
    assert facts(comparison) == [("order_without_charge", checkout_id, own, "captured", "refunded", 500, 0, None)]


def test_an_object_that_is_listed_twice_counts_once(
    works: Works, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout_id = check_out(works, shelf)
    move(works, checkout_id, "refund")
    monkeypatch.setattr(module, "CHUNK", 3)
    comparison = compare(works, Listing(works.gateway, listed=lambda held: iter(held * 7)))
    assert [each.kind for each in comparison.findings] == ["order_without_charge"]
    assert (comparison.objects, comparison.payments) == (1, 1)


def test_half_a_list_proves_nothing(works: Works, shelf: Shelf) -> None:
    # Given a provider that stops in the middle
    for _ in range(3):
        check_out(works, shelf)

    def stop(held: list[Held]) -> Iterator[Held]:
        yield held[0]
        raise Unavailable(Code.GATEWAY_UNAVAILABLE, reason="connection reset")

    before = take_snapshot(works.engine)
    # When
    with pytest.raises(Unavailable) as refusal:
        compare(works, Listing(works.gateway, listed=stop))
    # Then
    assert refusal.value.code is Code.GATEWAY_UNAVAILABLE
    assert str(refusal.value) == "The payment provider does not answer (connection reset): try again later."
    assert take_snapshot(works.engine) == before


@pytest.mark.parametrize(
    ("answer", "tries", "sentence"),
    [
        (Unknown("timeout"), MAX_ATTEMPTS, "The payment provider does not answer (timeout): try again later."),
        (Transient("busy"), MAX_ATTEMPTS, "The payment provider does not answer (busy): try again later."),
    ],
)
def test_a_second_retrieval_that_is_never_answered_proves_nothing(
    answer: Answer, tries: int, sentence: str, works: Works, shelf: Shelf
) -> None:
    check_out(works, shelf)
    listing = Listing(works.gateway, listed=lambda _held: iter(()), replace=lambda _verb, _answer: answer)
    with pytest.raises(Unavailable) as refusal:
        compare(works, listing)
    assert str(refusal.value) == sentence
    assert verbs(listing) == ["retrieve"] * tries


def test_a_second_retrieval_is_repeated_until_it_is_answered(works: Works, shelf: Shelf) -> None:
    check_out(works, shelf)
    answers: list[Answer] = [Unknown("timeout"), Transient("busy")]
    listing = Listing(
        works.gateway,
        listed=lambda _held: iter(()),
        replace=lambda _verb, answer: answers.pop() if answers else answer,
    )
    assert compare(works, listing).findings == ()
    assert verbs(listing) == ["retrieve"] * 3


def test_refused_access_to_what_was_listed_is_not_a_missing_object(works: Works, shelf: Shelf) -> None:
    # Given a difference that changed meanwhile, and an API key that may list and not retrieve
    checkout_id = check_out(works, shelf, "tok_declined")
    adopt(shelf, checkout_id, make_object(works.gateway, checkout_id, "capture"))

    def begin(held: list[Held]) -> Iterator[Held]:
        shelf.run("UPDATE checkouts SET updated_at = clock_timestamp()")
        yield from held

    refused = Misconfigured("access_refused")
    listing = Listing(works.gateway, listed=begin, replace=lambda _verb, _answer: refused)
    # When, then
    with pytest.raises(Unavailable) as refusal:
        compare(works, listing)
    assert (refusal.value.code, refusal.value.detail) == (Code.GATEWAY_MISCONFIGURED, {"reason": "access_refused"})
