"""The effect of an answer on the stored payment."""

from dataclasses import replace

import pytest

from models.states import OperationKind, OperationStatus, PaymentStatus
from pipeline.gateways.gateway import (
    ActionRequired,
    Answer,
    Declined,
    Misconfigured,
    Succeeded,
    Transient,
    Unknown,
)
from pipeline.payments.operation import MISCONFIGURED, SETTLED_BY_CANCEL, SUPERSEDED
from pipeline.payments.payment import PaymentState
from tests.unit.payments.states import K, P, S, operation, payment


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
    known = payment(before, operation(kind))
    found = known.find(kind, 1)
    assert found is not None

    written = known.apply_result(found, Succeeded("ref", after))

    assert (written.status, written.reference) == (after, "ref")
    assert [(each.status, each.leased_until, each.attempts) for each in written.operations] == [(S.SUCCEEDED, None, 0)]


@pytest.mark.parametrize("status", P)
@pytest.mark.parametrize("kind", K)
def test_an_unknown_outcome_moves_nothing_and_counts(kind: OperationKind, status: PaymentStatus) -> None:
    known = payment(status, operation(kind))
    found = known.find(kind, 1)
    assert found is not None

    written = known.apply_result(found, Unknown("timeout"))

    assert written.status is status
    if (kind, status) == (K.CAPTURE, P.CAPTURED):
        # The payment is captured: the lost answer of its call does not make it unknown again.
        assert [each.status for each in written.operations] == [S.SUCCEEDED]
    elif status not in (P.CANCELLED, P.REFUNDED):
        assert [(each.status, each.code, each.attempts) for each in written.operations] == [(S.UNKNOWN, "timeout", 1)]


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.DECLINED])
def test_a_settled_operation_keeps_its_outcome(status: OperationStatus) -> None:
    known = payment(P.AUTHORIZED, operation(K.AUTHORIZE, status))
    found = known.find(K.AUTHORIZE, 1)
    assert found is not None

    for answer in (Succeeded("other", P.CAPTURED), Declined("no"), Unknown("timeout"), ActionRequired("other")):
        assert known.apply_result(found, answer) == replace(known, answered=True)


def test_an_answer_that_comes_late_never_moves_a_payment_back() -> None:
    cancelled = payment(P.CANCELLED, operation(K.OPEN, S.UNKNOWN))
    captured = payment(P.CAPTURED, operation(K.AUTHORIZE, S.UNKNOWN))

    assert record(cancelled, K.OPEN, Succeeded("ref", P.OPEN))[0] is P.CANCELLED
    assert record(captured, K.AUTHORIZE, Succeeded("ref", P.AUTHORIZED))[0] is P.CAPTURED
    assert record(captured, K.AUTHORIZE, ActionRequired("ref"))[0] is P.CAPTURED


def test_a_buyer_who_must_act_and_what_comes_of_it() -> None:
    opened = payment(P.OPEN, operation(K.OPEN, S.SUCCEEDED), operation(K.AUTHORIZE))
    asked = opened.apply_result(opened.operations[1], ActionRequired("ref", {"url": "https://bank.example"}))

    assert (asked.status, asked.action) == (P.ACTION_REQUIRED, {"url": "https://bank.example"})
    pending = asked.operations[1]
    assert pending.status is S.ACTION_REQUIRED
    # approved, refused, given up by the buyer, and a retrieval that fails
    for answer, status, outcome, action in (
        (Succeeded("ref", P.AUTHORIZED), P.AUTHORIZED, S.SUCCEEDED, None),
        (Declined("authentication_refused"), P.OPEN, S.DECLINED, None),
        (Succeeded("ref", P.CANCELLED), P.CANCELLED, S.DECLINED, None),
        (Unknown("timeout"), P.ACTION_REQUIRED, S.ACTION_REQUIRED, asked.action),
    ):
        after = asked.apply_result(pending, answer)
        assert (after.status, after.operations[1].status, after.action) == (status, outcome, action)


def test_a_cancelled_object_settles_what_was_unanswered() -> None:
    known = payment(
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
def test_a_retrieval_that_finds_the_end_settles_its_call(
    status: PaymentStatus, kind: OperationKind, outcomes: list[OperationStatus]
) -> None:
    known = payment(P.ACTION_REQUIRED, operation(K.AUTHORIZE, S.ACTION_REQUIRED), operation(kind, S.UNKNOWN))

    assert record(known, K.AUTHORIZE, Succeeded("ref", status)) == (status, outcomes)


@pytest.mark.parametrize("kind", K)
def test_refused_access_settles_only_calls_before_the_pivot(kind: OperationKind) -> None:
    known = payment(P.AUTHORIZED, operation(kind))

    after = known.apply_result(known.operations[0], Misconfigured("bad key")).operations[0]

    refused = kind in (K.OPEN, K.AUTHORIZE)
    assert (after.status, after.code, after.last_error, after.attempts) == (
        (S.DECLINED, MISCONFIGURED, "bad key", 0) if refused else (S.UNKNOWN, MISCONFIGURED, "bad key", 1)
    )


def test_what_surely_did_nothing_is_still_unanswered() -> None:
    # An earlier call with the same key may have had its effect.
    known = payment(P.OPEN, operation(K.AUTHORIZE, S.UNKNOWN))

    after = known.apply_result(known.operations[0], Transient("too many requests")).operations[0]

    assert (after.status, after.code, after.attempts) == (S.UNKNOWN, "too many requests", 1)


@pytest.mark.parametrize(("kind", "end"), [(K.CAPTURE, P.CAPTURED), (K.REFUND, P.REFUNDED)])
def test_two_keys_of_one_call_have_one_success(kind: OperationKind, end: PaymentStatus) -> None:
    known = payment(P.AUTHORIZED, operation(kind, S.UNKNOWN), operation(kind, n=2))

    second = known.apply_result(known.operations[1], Succeeded("ref", end))
    both = second.apply_result(second.operations[0], Succeeded("ref", end))

    assert sorted((each.status, each.code) for each in both.operations) == [
        (S.DECLINED, SUPERSEDED),
        (S.SUCCEEDED, None),
    ]
    assert both.operations == second.operations
