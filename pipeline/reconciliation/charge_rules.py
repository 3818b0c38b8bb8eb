"""Judges the refunds and disputes that the provider shows of a placed order by those that are stored. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from models.money import Money
from models.states import RefundStatus
from pipeline.gateways.charges import Charge, ChargeDispute, ChargeRefund, RefundState
from pipeline.reconciliation.findings import ChargeDifference, Finding, FindingKind, LocalRecord

#: The provider may have these.
_POSSIBLE: Final = frozenset({RefundStatus.INTENDED, RefundStatus.UNKNOWN, RefundStatus.SUCCEEDED})


@dataclass(frozen=True, slots=True)
class LocalRefund:
    """A stored refund. `key` is None for one that was made at the provider."""

    reference: str | None
    key: str | None
    amount: Money
    status: RefundStatus


@dataclass(frozen=True, slots=True)
class LocalDispute:
    """A stored dispute; `state` is the provider's."""

    reference: str
    amount: Money
    state: str


@dataclass(frozen=True, slots=True)
class LocalCharge:
    """The stored refunds and disputes of one order."""

    refunds: tuple[LocalRefund, ...] = ()
    disputes: tuple[LocalDispute, ...] = ()


def judge_charge(charge: Charge, local: LocalRecord, stored: LocalCharge) -> list[Finding]:
    """Return the findings for a charge and what is stored of it."""
    return [
        Finding(kind, local.checkout_id, local, None, difference)
        for kind, difference in (*_judge_refunds(charge, stored), *_judge_disputes(charge, stored))
    ]


def _judge_refunds(charge: Charge, stored: LocalCharge) -> Iterator[tuple[FindingKind, ChargeDifference]]:
    left = list(stored.refunds)
    for shown in charge.refunds:
        own = _find(shown, left)
        if own is None:
            if shown.state is not RefundState.FAILED:
                yield FindingKind.REFUND_NOT_RECORDED, _differ(shown, None)
            continue
        left.remove(own)
        if own.amount != shown.amount:
            yield FindingKind.REFUND_DIFFERS, _differ(shown, own)
        elif own.status is RefundStatus.SUCCEEDED and shown.state is RefundState.FAILED:
            yield FindingKind.REFUND_MISSING, _differ(shown, own)
        elif own.status is RefundStatus.RETURNED and shown.state is not RefundState.FAILED:
            yield FindingKind.REFUND_DIFFERS, _differ(shown, own)
    for own in left:
        if own.status is RefundStatus.SUCCEEDED:
            yield (
                FindingKind.REFUND_MISSING,
                ChargeDifference(own.reference or own.key or "", own.amount, f"{own.amount}, {own.status}", None),
            )


def _find(shown: ChargeRefund, stored: list[LocalRefund]) -> LocalRefund | None:
    """Return the stored refund that this is. One that was declined may be at the provider all the same: it is not."""
    for own in stored:
        if own.reference == shown.reference:
            return own
    by_key = (each for each in stored if each.key is not None and each.key == shown.operation_id)
    # A person may have said that it was made, before the provider showed it.
    return next((each for each in by_key if each.reference is None and each.status in _POSSIBLE), None)


def _judge_disputes(charge: Charge, stored: LocalCharge) -> Iterator[tuple[FindingKind, ChargeDifference]]:
    known = {each.reference: each for each in stored.disputes}
    for shown in charge.disputes:
        own = known.get(shown.reference)
        if own is None or (own.amount, own.state) != (shown.amount, shown.state):
            yield FindingKind.DISPUTE_NOT_RECORDED, _differ(shown, own)


def _differ(shown: ChargeRefund | ChargeDispute, own: LocalRefund | LocalDispute | None) -> ChargeDifference:
    told = None if own is None else f"{own.amount}, {own.status if isinstance(own, LocalRefund) else own.state}"
    return ChargeDifference(shown.reference, shown.amount, told, f"{shown.amount}, {shown.state}")
