"""What a refund does next, by what is stored of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.states import ChangeKind, ChangeState, OrderState, RefundStatus
from pipeline.gateways.charges import ChargeVerb
from pipeline.orders.changes import LockedChange
from pipeline.orders.refunds.policy import MOST_KEYS, Ask, Fail, Finish, Make, Pause, Plan, plan_refund
from pipeline.orders.refunds.row import Refund
from pipeline.settings import Settings

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ID = UUID(int=1)
SETTINGS = Settings.model_construct()


def refund(status: RefundStatus = RefundStatus.UNKNOWN, **given: Any) -> Refund:
    """Return a refund of a minute ago, and of long before the next repeat."""
    return replace(
        Refund(
            id=1,
            change_id=ID,
            checkout_id=ID,
            n=1,
            key="k",
            amount_minor=100,
            status=status,
            reference=None,
            leased_until=None,
            attempts=1,
            code=None,
            last_error="timeout",
            created_at=NOW - timedelta(minutes=1),
            updated_at=NOW - timedelta(minutes=1),
        ),
        **given,
    )


def plan(*refunds: Refund, amount_minor: int = 100, **outcome: Any) -> Plan:
    """Return what a change with these refunds does next; after five attempts it asks, after ten a person does."""
    change = LockedChange(
        id=ID,
        order_id=ID,
        checkout_id=ID,
        owner="shop",
        number=7,
        currency="EUR",
        order_reference=None,
        order_state=OrderState.PLACED,
        payment_reference="p",
        token="",
        kind=ChangeKind.REFUND,
        state=ChangeState.RUNNING,
        amount_minor=amount_minor,
        actor="key:shop",
        reason="",
        options={},
        outcome=outcome,
        attempts=0,
        sent_at=None,
        now=NOW,
        refunds=refunds,
    )
    return plan_refund(change, SETTINGS)


def test_the_first_call_has_no_row_yet() -> None:
    assert plan() == Make(ChargeVerb.REFUND_AMOUNT)
    assert plan(amount_minor=0) == Finish()


def test_an_unknown_outcome_is_repeated_asked_for_and_given_to_a_person() -> None:
    def after(attempts: int, **given: Any) -> Plan:
        return plan(refund(attempts=attempts, **given))

    assert after(1) == Make(ChargeVerb.REFUND_AMOUNT, refund(attempts=1))
    assert after(4) == Make(ChargeVerb.REFUND_AMOUNT, refund(attempts=4))
    assert after(5) == Make(ChargeVerb.FIND_REFUND, refund(attempts=5))
    assert isinstance(asked := after(10), Ask)
    assert asked.reason.describe()["message"] == (
        "Whether 1.00 EUR was refunded is unknown (timeout): look at the provider, then settle the change."
    )
    old = NOW - timedelta(hours=24)
    assert after(1, created_at=old) == Make(ChargeVerb.FIND_REFUND, refund(attempts=1, created_at=old))


def test_nobody_calls_during_a_lease_or_a_back_off() -> None:
    leased = plan(refund(leased_until=NOW + timedelta(seconds=3)))
    assert isinstance(leased, Pause)
    assert leased.seconds == pytest.approx(3.01)
    waiting = plan(refund(attempts=3, updated_at=NOW - timedelta(seconds=1)))
    assert isinstance(waiting, Pause)
    assert waiting.seconds == pytest.approx(3)
    # A lease that has ended without an answer is a crash: the call is made again at once.
    ended = refund(leased_until=NOW, updated_at=NOW)
    assert plan(ended) == Make(ChargeVerb.REFUND_AMOUNT, ended)


def test_what_is_settled_decides() -> None:
    assert plan(refund(RefundStatus.SUCCEEDED)) == Finish()
    assert isinstance(plan(refund(RefundStatus.DECLINED, code="refund_exceeds_charge")), Fail)
    assert isinstance(plan(refund(RefundStatus.RETURNED)), Ask)
    assert plan(refund(RefundStatus.RETURNED), retried=True) == Make(ChargeVerb.REFUND_AMOUNT)


def test_only_what_is_absent_gets_a_new_key_and_not_for_ever() -> None:
    absent = refund(RefundStatus.DECLINED, code="absent")
    assert plan(absent) == Make(ChargeVerb.REFUND_AMOUNT)
    assert isinstance(plan(*[absent] * MOST_KEYS), Ask)
    assert plan(*[absent] * MOST_KEYS, retried=True) == Make(ChargeVerb.REFUND_AMOUNT)


def test_a_person_who_retries_has_the_provider_asked_first() -> None:
    unknown = refund(attempts=0)
    assert plan(unknown, retried=True) == Make(ChargeVerb.FIND_REFUND, unknown)
    assert isinstance(plan(refund(code="cannot_tell")), Ask)
    assert isinstance(plan(refund(attempts=5), retried=True), Ask)


def test_access_that_is_refused_needs_a_person_after_the_last_attempt() -> None:
    refused = {"code": "misconfigured", "last_error": "access_refused"}
    assert isinstance(plan(refund(RefundStatus.INTENDED, attempts=4, **refused)), Make)
    asked = plan(refund(RefundStatus.INTENDED, attempts=5, **refused))
    assert isinstance(asked, Ask)
    assert asked.reason.code == "gateway_misconfigured"
