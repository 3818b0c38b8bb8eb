"""What an answer makes of our books."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money import Money
from models.states import UNSETTLED, OperationKind, OperationStatus, PaymentStatus
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
from pipeline.payments.operation import MISCONFIGURED, REFUND_RETURNED, SETTLED_BY_CANCEL, SUPERSEDED, Operation
from pipeline.payments.payment import VERBS, PaymentState

K, S, P = OperationKind, OperationStatus, PaymentStatus

EMPTY = PaymentState(UUID(int=1), "sandbox", "tok_ok", 1, None, P.NEW, None, Money(500, "EUR"))


def operation(kind: OperationKind, status: OperationStatus = S.INTENDED, *, n: int = 1, id_: int = 1) -> Operation:
    return Operation(kind, n, status, fence=0, attempts=0, id=id_)


def books(status: PaymentStatus, *operations: Operation) -> PaymentState:
    numbered = tuple(replace(each, id=id_) for id_, each in enumerate(operations, start=1))
    return replace(EMPTY, status=status, reference=None if status is P.NEW else "ref", operations=numbered)


def record(before: PaymentState, kind: OperationKind, answer: Answer) -> tuple[PaymentStatus, list[OperationStatus]]:
    found = before.last(kind)
    assert found is not None
    after = before.apply_result(found, answer)
    assert after.answered
    return after.status, [each.status for each in after.operations]


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (K.OPEN, P.NEW, P.OPEN),
        (K.AUTHORIZE, P.OPEN, P.AUTHORIZED),
        (K.CAPTURE, P.AUTHORIZED, P.CAPTURED),
        (K.VOID, P.AUTHORIZED, P.CANCELLED),
        (K.VOID, P.OPEN, P.CANCELLED),
        (K.REFUND, P.CAPTURED, P.REFUNDED),
    ],
)
def test_a_success_moves_the_payment_on(kind: OperationKind, before: PaymentStatus, after: PaymentStatus) -> None:
    known = books(before, operation(kind))
    found = known.find(kind, 1)
    assert found is not None

    written = known.apply_result(found, Succeeded("ref", after))

    assert (written.status, written.reference) == (after, "ref")
    assert [(each.status, each.leased_until, each.attempts) for each in written.operations] == [(S.SUCCEEDED, None, 0)]


@pytest.mark.parametrize("status", P)
@pytest.mark.parametrize("kind", K)
def test_an_unknown_outcome_moves_nothing_and_counts(kind: OperationKind, status: PaymentStatus) -> None:
    known = books(status, operation(kind))
    found = known.find(kind, 1)
    assert found is not None

    written = known.apply_result(found, Unknown("timeout"))

    assert written.status is status
    if (kind, status) == (K.CAPTURE, P.CAPTURED):
        # The money is seen to be taken: that its call told nothing does not make it unknown again.
        assert [each.status for each in written.operations] == [S.SUCCEEDED]
    elif status not in (P.CANCELLED, P.REFUNDED):
        assert [(each.status, each.code, each.attempts) for each in written.operations] == [(S.UNKNOWN, "timeout", 1)]


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.DECLINED])
def test_a_settled_operation_keeps_its_outcome(status: OperationStatus) -> None:
    known = books(P.AUTHORIZED, operation(K.AUTHORIZE, status))
    found = known.find(K.AUTHORIZE, 1)
    assert found is not None

    for answer in (Succeeded("other", P.CAPTURED), Declined("no"), Unknown("timeout"), ActionRequired("other")):
        assert known.apply_result(found, answer) == replace(known, answered=True)


def test_an_answer_that_comes_late_never_moves_a_payment_back() -> None:
    cancelled = books(P.CANCELLED, operation(K.OPEN, S.UNKNOWN))
    captured = books(P.CAPTURED, operation(K.AUTHORIZE, S.UNKNOWN))

    assert record(cancelled, K.OPEN, Succeeded("ref", P.OPEN))[0] is P.CANCELLED
    assert record(captured, K.AUTHORIZE, Succeeded("ref", P.AUTHORIZED))[0] is P.CAPTURED
    assert record(captured, K.AUTHORIZE, ActionRequired("ref"))[0] is P.CAPTURED


def test_a_buyer_who_must_act_and_what_comes_of_it() -> None:
    opened = books(P.OPEN, operation(K.OPEN, S.SUCCEEDED), operation(K.AUTHORIZE))
    asked = opened.apply_result(opened.operations[1], ActionRequired("ref", {"url": "https://bank.example"}))

    assert (asked.status, asked.action) == (P.ACTION_REQUIRED, {"url": "https://bank.example"})
    pending = asked.operations[1]
    assert pending.status is S.ACTION_REQUIRED
    # approved, refused, given up by the buyer, and a look that fails
    for answer, status, outcome, action in (
        (Succeeded("ref", P.AUTHORIZED), P.AUTHORIZED, S.SUCCEEDED, None),
        (Declined("authentication_refused"), P.OPEN, S.DECLINED, None),
        (Succeeded("ref", P.CANCELLED), P.CANCELLED, S.DECLINED, None),
        (Unknown("timeout"), P.ACTION_REQUIRED, S.ACTION_REQUIRED, asked.action),
    ):
        after = asked.apply_result(pending, answer)
        assert (after.status, after.operations[1].status, after.action) == (status, outcome, action)


def test_a_cancelled_object_settles_what_was_unanswered() -> None:
    known = books(
        P.AUTHORIZED,
        operation(K.OPEN, S.SUCCEEDED),
        operation(K.AUTHORIZE, S.UNKNOWN),
        operation(K.CAPTURE),
        operation(K.VOID),
    )

    after = known.apply_result(known.operations[3], Succeeded("ref", P.CANCELLED))

    assert [(each.status, each.code) for each in after.operations] == [
        (S.SUCCEEDED, None),
        (S.DECLINED, SETTLED_BY_CANCEL),
        (S.DECLINED, SETTLED_BY_CANCEL),
        (S.SUCCEEDED, None),
    ]
    assert after.unsettled == []


@pytest.mark.parametrize(
    ("status", "kind", "outcomes"),
    [
        (P.CANCELLED, K.VOID, [S.DECLINED, S.SUCCEEDED]),
        (P.REFUNDED, K.REFUND, [S.SUCCEEDED, S.SUCCEEDED]),
    ],
)
def test_a_look_that_finds_the_end_settles_the_call_that_brought_it(
    status: PaymentStatus, kind: OperationKind, outcomes: list[OperationStatus]
) -> None:
    known = books(P.ACTION_REQUIRED, operation(K.AUTHORIZE, S.ACTION_REQUIRED), operation(kind, S.UNKNOWN))

    assert record(known, K.AUTHORIZE, Succeeded("ref", status)) == (status, outcomes)


@pytest.mark.parametrize("kind", K)
def test_refused_access_settles_only_what_nobody_waits_for(kind: OperationKind) -> None:
    known = books(P.AUTHORIZED, operation(kind))

    after = known.apply_result(known.operations[0], Misconfigured("bad key")).operations[0]

    refused = kind in (K.OPEN, K.AUTHORIZE)
    assert (after.status, after.code, after.last_error, after.attempts) == (
        (S.DECLINED, MISCONFIGURED, "bad key", 0) if refused else (S.UNKNOWN, MISCONFIGURED, "bad key", 1)
    )


def test_what_surely_did_nothing_is_still_unanswered() -> None:
    # An earlier call with the same key may have had its effect.
    known = books(P.OPEN, operation(K.AUTHORIZE, S.UNKNOWN))

    after = known.apply_result(known.operations[0], Transient("too many requests")).operations[0]

    assert (after.status, after.code, after.attempts) == (S.UNKNOWN, "too many requests", 1)


@pytest.mark.parametrize(("kind", "end"), [(K.CAPTURE, P.CAPTURED), (K.REFUND, P.REFUNDED)])
def test_two_keys_of_one_call_have_one_success(kind: OperationKind, end: PaymentStatus) -> None:
    known = books(P.AUTHORIZED, operation(kind, S.UNKNOWN), operation(kind, n=2))

    second = known.apply_result(known.operations[1], Succeeded("ref", end))
    both = second.apply_result(second.operations[0], Succeeded("ref", end))

    assert sorted((each.status, each.code) for each in both.operations) == [
        (S.DECLINED, SUPERSEDED),
        (S.SUCCEEDED, None),
    ]
    assert both.operations == second.operations


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
def test_a_look_settles_an_unknown_call_by_what_is_there_alone(
    answer: Answer, status: PaymentStatus, outcome: OperationStatus
) -> None:
    known = books(P.OPEN, operation(K.OPEN, S.SUCCEEDED), operation(K.AUTHORIZE, S.UNKNOWN))

    after = known.apply_retrieved_status(known.operations[1], answer, seen=P.OPEN)

    assert (after.status, after.operations[1].status, after.operations[1].attempts) == (status, outcome, 0)


@pytest.mark.parametrize("outcome", [S.INTENDED, S.UNKNOWN])
def test_a_look_from_before_the_capture_settles_it_when_it_sees_the_money(outcome: OperationStatus) -> None:
    # A webhook's look was planned on the authorisation; the capture was begun, and had its effect, while it was out.
    known = books(P.AUTHORIZED, operation(K.AUTHORIZE, S.SUCCEEDED), operation(K.CAPTURE, outcome))

    after = known.apply_retrieved_status(known.operations[0], Succeeded("ref", P.CAPTURED), seen=P.AUTHORIZED)

    assert (after.status, [each.status for each in after.operations]) == (P.CAPTURED, [S.SUCCEEDED] * 2)
    # The capture's own answer is a time-out: it tells nothing any more.
    later = after.apply_result(after.operations[1], Unknown("timeout"))
    assert (later.status, [each.status for each in later.operations]) == (P.CAPTURED, [S.SUCCEEDED] * 2)


def test_money_that_was_taken_once_settles_no_second_capture() -> None:
    known = books(P.AUTHORIZED, operation(K.CAPTURE, S.SUCCEEDED), operation(K.CAPTURE, S.DECLINED, n=2))

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
def test_a_look_says_what_the_buyer_did(answer: Answer, status: PaymentStatus, outcome: OperationStatus) -> None:
    known = books(P.ACTION_REQUIRED, operation(K.AUTHORIZE, S.ACTION_REQUIRED))

    after = known.apply_retrieved_status(known.operations[0], answer, seen=P.ACTION_REQUIRED)

    assert (after.status, after.operations[0].status) == (status, outcome)


def test_a_look_is_believed_over_our_books_unless_they_have_moved_on() -> None:
    cancelled = books(P.CANCELLED, operation(K.VOID, S.SUCCEEDED))
    void = cancelled.operations[0]

    assert cancelled.apply_retrieved_status(void, Succeeded("ref", P.CAPTURED), seen=P.CANCELLED).status is P.CAPTURED
    assert (
        cancelled.apply_retrieved_status(void, Succeeded("ref", P.AUTHORIZED), seen=P.AUTHORIZED).status is P.CANCELLED
    )
    assert cancelled.apply_retrieved_status(void, Succeeded("ref", P.OPEN), seen=P.CANCELLED).status is P.CANCELLED


def test_a_refund_that_came_back_has_failed() -> None:
    refunded = books(P.REFUNDED, operation(K.CAPTURE, S.SUCCEEDED), operation(K.REFUND, S.SUCCEEDED))

    after = refunded.apply_retrieved_status(refunded.operations[1], Succeeded("ref", P.CAPTURED), seen=P.REFUNDED)

    assert after.status is P.CAPTURED
    assert [(each.status, each.code) for each in after.operations] == [
        (S.SUCCEEDED, None),
        (S.DECLINED, REFUND_RETURNED),
    ]


def test_a_call_that_was_not_made_is_free_again() -> None:
    known = books(P.OPEN, replace(operation(K.AUTHORIZE), leased_until=datetime(2026, 1, 1, tzinfo=UTC)))

    freed = known.free(known.operations[0])

    assert freed.operations[0] == replace(known.operations[0], leased_until=None)
    assert (freed.status, freed.answered) == (P.OPEN, False)


def test_the_newest_operation_counts() -> None:
    known = books(P.OPEN, operation(K.AUTHORIZE, S.DECLINED, n=1), operation(K.AUTHORIZE, n=2))

    assert known.last(K.AUTHORIZE) == known.operations[1]
    assert known.find(K.AUTHORIZE, 1) == known.operations[0]
    assert (known.last(K.VOID), known.find(K.AUTHORIZE, 3)) == (None, None)
    assert known.unsettled == [known.operations[1]]


def test_every_operation_has_its_verb_and_a_look_has_no_operation() -> None:
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
    known = books(P.NEW, *(operation(kind) for kind in K))
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
