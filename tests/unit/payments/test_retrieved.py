"""What a retrieved state does to a payment."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.states import UNSETTLED, OperationStatus, PaymentStatus
from pipeline.gateways.gateway import (
    ActionRequired,
    Answer,
    Declined,
    Misconfigured,
    Succeeded,
    Transient,
    Unknown,
    Verb,
)
from pipeline.payments.operation import REFUND_RETURNED
from pipeline.payments.payment import VERBS
from tests.unit.payments.states import K, P, S, operation, payment


@pytest.mark.parametrize(
    ("answer", "status", "outcome"),
    [
        (Succeeded("ref", P.AUTHORIZED), P.AUTHORIZED, S.SUCCEEDED),
        (Succeeded("ref", P.CAPTURED), P.CAPTURED, S.SUCCEEDED),
        (Succeeded("ref", P.CANCELLED), P.CANCELLED, S.DECLINED),
        # Not there yet is not never.
        (Succeeded("ref", P.OPEN), P.OPEN, S.UNKNOWN),
        (Declined("the card before this one"), P.OPEN, S.UNKNOWN),
        (ActionRequired("ref"), P.OPEN, S.UNKNOWN),
        (Unknown("timeout"), P.OPEN, S.UNKNOWN),
        (Transient("busy"), P.OPEN, S.UNKNOWN),
        (Misconfigured("not there"), P.OPEN, S.UNKNOWN),
    ],
)
def test_a_retrieval_settles_an_unknown_call_only_by_what_is_there(
    answer: Answer, status: PaymentStatus, outcome: OperationStatus
) -> None:
    known = payment(P.OPEN, operation(K.OPEN, S.SUCCEEDED), operation(K.AUTHORIZE, S.UNKNOWN))

    after = known.apply_retrieved_status(known.operations[1], answer, seen=P.OPEN)

    assert (after.status, after.operations[1].status, after.operations[1].attempts) == (status, outcome, 0)


@pytest.mark.parametrize("outcome", [S.INTENDED, S.UNKNOWN])
def test_a_retrieval_from_before_the_capture_settles_it_when_it_shows_the_money(outcome: OperationStatus) -> None:
    # A webhook's retrieval was planned on the authorisation; the capture had its effect while it was in flight.
    known = payment(P.AUTHORIZED, operation(K.AUTHORIZE, S.SUCCEEDED), operation(K.CAPTURE, outcome))

    after = known.apply_retrieved_status(known.operations[0], Succeeded("ref", P.CAPTURED), seen=P.AUTHORIZED)

    assert (after.status, [each.status for each in after.operations]) == (P.CAPTURED, [S.SUCCEEDED] * 2)
    # The capture's own answer is a time-out: it changes nothing any more.
    later = after.apply_result(after.operations[1], Unknown("timeout"))
    assert (later.status, [each.status for each in later.operations]) == (P.CAPTURED, [S.SUCCEEDED] * 2)


def test_money_that_was_captured_once_settles_no_second_capture() -> None:
    known = payment(P.AUTHORIZED, operation(K.CAPTURE, S.SUCCEEDED), operation(K.CAPTURE, S.DECLINED, n=2))

    after = known.apply_retrieved_status(known.operations[0], Succeeded("ref", P.CAPTURED), seen=P.AUTHORIZED)

    assert [each.status for each in after.operations] == [S.SUCCEEDED, S.DECLINED]


@pytest.mark.parametrize(
    ("answer", "status", "outcome"),
    [
        (Succeeded("ref", P.AUTHORIZED), P.AUTHORIZED, S.SUCCEEDED),
        (Declined("authentication_refused"), P.OPEN, S.DECLINED),
        (Succeeded("ref", P.OPEN), P.OPEN, S.DECLINED),
        (Succeeded("ref", P.CANCELLED), P.CANCELLED, S.DECLINED),
        (ActionRequired("ref"), P.ACTION_REQUIRED, S.ACTION_REQUIRED),
        (Unknown("timeout"), P.ACTION_REQUIRED, S.ACTION_REQUIRED),
    ],
)
def test_a_retrieval_shows_what_the_buyer_did(answer: Answer, status: PaymentStatus, outcome: OperationStatus) -> None:
    known = payment(P.ACTION_REQUIRED, operation(K.AUTHORIZE, S.ACTION_REQUIRED))

    after = known.apply_retrieved_status(known.operations[0], answer, seen=P.ACTION_REQUIRED)

    assert (after.status, after.operations[0].status) == (status, outcome)


def test_a_retrieval_is_applied_unless_the_payment_has_changed_since() -> None:
    cancelled = payment(P.CANCELLED, operation(K.VOID, S.SUCCEEDED))
    void = cancelled.operations[0]

    assert cancelled.apply_retrieved_status(void, Succeeded("ref", P.CAPTURED), seen=P.CANCELLED).status is P.CAPTURED
    assert (
        cancelled.apply_retrieved_status(void, Succeeded("ref", P.AUTHORIZED), seen=P.AUTHORIZED).status is P.CANCELLED
    )
    assert cancelled.apply_retrieved_status(void, Succeeded("ref", P.OPEN), seen=P.CANCELLED).status is P.CANCELLED


def test_a_returned_refund_has_failed() -> None:
    refunded = payment(P.REFUNDED, operation(K.CAPTURE, S.SUCCEEDED), operation(K.REFUND, S.SUCCEEDED))

    after = refunded.apply_retrieved_status(refunded.operations[1], Succeeded("ref", P.CAPTURED), seen=P.REFUNDED)

    assert after.status is P.CAPTURED
    assert [(each.status, each.code) for each in after.operations] == [
        (S.SUCCEEDED, None),
        (S.DECLINED, REFUND_RETURNED),
    ]


def test_a_call_that_was_not_made_is_free_again() -> None:
    known = payment(P.OPEN, replace(operation(K.AUTHORIZE), leased_until=datetime(2026, 1, 1, tzinfo=UTC)))

    freed = known.end_lease(known.operations[0])

    assert freed.operations[0] == replace(known.operations[0], leased_until=None)
    assert (freed.status, freed.answered) == (P.OPEN, False)


def test_the_newest_operation_counts() -> None:
    known = payment(P.OPEN, operation(K.AUTHORIZE, S.DECLINED, n=1), operation(K.AUTHORIZE, n=2))

    assert known.last(K.AUTHORIZE) == known.operations[1]
    assert known.find(K.AUTHORIZE, 1) == known.operations[0]
    assert (known.last(K.VOID), known.find(K.AUTHORIZE, 3)) == (None, None)
    assert known.unsettled == [known.operations[1]]


def test_every_operation_has_its_verb_and_a_retrieval_has_no_operation() -> None:
    assert set(VERBS) == set(K)
    assert set(Verb) - set(VERBS.values()) == {Verb.RETRIEVE}


RANK = [P.NEW, P.OPEN, P.ACTION_REQUIRED, P.AUTHORIZED, P.CAPTURED, P.CANCELLED, P.REFUNDED]

ANSWERS = st.one_of(
    st.sampled_from(P).map(lambda status: Succeeded("ref", status)),
    st.just(Declined("no")),
    st.just(ActionRequired("ref")),
    st.just(Unknown("timeout")),
)


@given(st.lists(st.tuples(st.integers(0, 4), ANSWERS), max_size=12))
def test_whatever_comes_in_whatever_order(answers: list[tuple[int, Answer]]) -> None:
    known = payment(P.NEW, *(operation(kind) for kind in K))
    for index, answer in answers:
        after = known.apply_result(known.operations[index], answer)

        # An end is an end, and what was settled stays so.
        if known.status in (P.CANCELLED, P.REFUNDED):
            assert RANK.index(after.status) >= RANK.index(known.status)
            assert after.unsettled == []
        for old, new in zip(known.operations, after.operations, strict=True):
            settled = old.status not in UNSETTLED and old.status is not S.ACTION_REQUIRED
            assert not settled or new == old
        known = after
