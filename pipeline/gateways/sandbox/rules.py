"""The bank's rules for one request: the state machine of a payment object, without I/O.

open -> action_required -> authorized -> captured -> refunded
open | action_required | authorized -> cancelled; the bank itself cancels when an authorisation has expired
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID, uuid4

from models.money import MAX_MINOR, Money, minor_digits
from models.states import PaymentStatus
from pipeline.gateways.gateway import (
    ALREADY_CAPTURED,
    AUTHORIZATION_EXPIRED,
    PAYMENT_CANCELLED,
    ActionRequired,
    Call,
    Declined,
    Misconfigured,
    Succeeded,
    Verb,
)
from pipeline.gateways.sandbox.answers import Decided
from pipeline.gateways.sandbox.requests import Visit
from pipeline.gateways.sandbox.tokens import TokenFault, TokenOutcome, find_fault, parse_token


@dataclass(frozen=True, slots=True)
class PaymentObject:
    """The bank's payment object. `status` shows which of its amounts is live. Only `refunded_minor` can shrink: when a
    refund fails.

    `authorized_until` is set while an authorisation is live, and stays when it has expired.
    """

    reference: str
    checkout_id: UUID
    currency: str
    amount_minor: int
    status: PaymentStatus
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    authorized_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """The bank's time, and when an authorisation that is granted now expires."""

    now: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A line of the ledger: `authorize`, `capture`, `cancel` (of an authorisation), `refund`, `refuse` (amount 0).

    What follows a purchase writes lines of its own: `refund_failed` (negative), and of disputes (charges/dashboard.py).
    """

    reference: str
    kind: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Effect:
    """The answer, and the rows to write with it: none when nothing moved."""

    answer: Decided
    changed: PaymentObject | None = None
    entry: LedgerEntry | None = None


#: The codes with which a verb is declined in a state where it is not allowed. A state that is not named allows it.
REFUSALS: Final[dict[Verb, dict[PaymentStatus, str]]] = {
    Verb.OPEN: {},
    Verb.AUTHORIZE: {
        PaymentStatus.ACTION_REQUIRED: "action_pending",
        PaymentStatus.AUTHORIZED: "already_authorized",
        PaymentStatus.CAPTURED: ALREADY_CAPTURED,
        PaymentStatus.REFUNDED: "already_refunded",
        PaymentStatus.CANCELLED: PAYMENT_CANCELLED,
    },
    Verb.CAPTURE: {
        PaymentStatus.OPEN: "not_authorized",
        PaymentStatus.ACTION_REQUIRED: "not_authorized",
        PaymentStatus.REFUNDED: "already_refunded",
        PaymentStatus.CANCELLED: PAYMENT_CANCELLED,
    },
    # A refunded object was captured first: the caller must refund it, and that succeeds.
    Verb.CANCEL: {PaymentStatus.CAPTURED: ALREADY_CAPTURED, PaymentStatus.REFUNDED: ALREADY_CAPTURED},
    Verb.REFUND: {
        PaymentStatus.OPEN: "not_captured",
        PaymentStatus.ACTION_REQUIRED: "not_captured",
        PaymentStatus.AUTHORIZED: "not_captured",
        PaymentStatus.CANCELLED: "not_captured",
    },
    Verb.RETRIEVE: {},
}

UNKNOWN_OBJECT: Final = Effect(Misconfigured("payment_unknown"))


def act(verb: Verb, call: Call, held: PaymentObject | None, clock: Clock | None) -> Effect:
    """Carry out one call on the object. Nothing moves unless the answer shows it.

    With an object there is a clock. Its authorisation has not expired: `expire` comes first.
    """
    if find_fault(verb, call.token) is TokenFault.DECLINED:
        return Effect(Declined(f"{verb}_declined", "The token asks for it."))
    if verb is Verb.OPEN:
        return _open(call)
    return UNKNOWN_OBJECT if held is None or clock is None else _change(verb, call, held, clock)


def visit(kind: Visit, held: PaymentObject | None, clock: Clock | None, *, refused: bool) -> Effect:
    """Retrieve the object, or act as the buyer at the bank's page. `refused` means that the buyer has just refused."""
    if held is None or clock is None:
        return UNKNOWN_OBJECT
    if kind is Visit.RETRIEVE:
        return Effect(_describe(held, refused=refused))
    if held.status is not PaymentStatus.ACTION_REQUIRED:
        code = PAYMENT_CANCELLED if held.status is PaymentStatus.CANCELLED else "action_not_pending"
        return Effect(Declined(code, f"The payment is {held.status}."))
    if kind is Visit.APPROVE:
        return _grant(held, clock)
    # A refusal is a decline: the object stays open for another card.
    changed = replace(held, status=PaymentStatus.OPEN)
    return Effect(_describe(changed, refused=True), changed, LedgerEntry(held.reference, "refuse", 0))


def expire(held: PaymentObject, clock: Clock) -> Effect | None:
    """Void an authorisation that has expired; None when there is none."""
    if held.status is not PaymentStatus.AUTHORIZED or not has_expired(held, clock):
        return None
    return _moved(replace(held, status=PaymentStatus.CANCELLED), "cancel", held.authorized_minor)


def has_expired(held: PaymentObject, clock: Clock) -> bool:
    """Return whether the object's authorisation has expired, whether or not the bank has voided it."""
    return held.authorized_until is not None and held.authorized_until <= clock.now


def _change(verb: Verb, call: Call, held: PaymentObject, clock: Clock) -> Effect:
    if verb is Verb.CAPTURE and held.status is PaymentStatus.CANCELLED and has_expired(held, clock):
        return Effect(Declined(AUTHORIZATION_EXPIRED, "The authorisation has run out."))
    if refusal := REFUSALS[verb].get(held.status):
        return Effect(Declined(refusal, f"The payment is {held.status}."))
    match verb:
        case Verb.OPEN:
            return _open(call)
        case Verb.AUTHORIZE:
            return _authorize(call, held, clock)
        case Verb.CAPTURE:
            return _capture(call, held)
        case Verb.CANCEL:
            return _cancel(held)
        case Verb.REFUND:
            return _refund(call, held)
        case Verb.RETRIEVE:
            raise ValueError("a retrieval has no key: it is a visit")
        case _:
            assert_never(verb)


def _describe(held: PaymentObject, *, refused: bool) -> Decided:
    if held.status is PaymentStatus.ACTION_REQUIRED:
        return ActionRequired(held.reference, _action(held.reference))
    if held.status is PaymentStatus.OPEN and refused:
        return Declined("authentication_refused", "The buyer refused the payment at the bank.")
    return _succeed(held)


def _succeed(held: PaymentObject) -> Succeeded:
    until = held.authorized_until if held.status is PaymentStatus.AUTHORIZED else None
    return Succeeded(held.reference, held.status, until)


def _action(reference: str) -> dict[str, str]:
    return {"type": "redirect", "url": f"https://bank.example/authenticate/{reference}"}


def _open(call: Call) -> Effect:
    minor, currency = call.amount.minor, call.amount.currency
    if not 0 <= minor <= MAX_MINOR or minor_digits(currency) is None:
        return Effect(Declined("amount_invalid", f"{minor} {currency} cannot be paid."))
    opened = PaymentObject(f"sbx_{uuid4().hex}", call.checkout_id, currency, minor, PaymentStatus.OPEN)
    return Effect(_succeed(opened), opened)


def _authorize(call: Call, held: PaymentObject, clock: Clock) -> Effect:
    if call.amount != Money(held.amount_minor, held.currency):
        return _mismatch(call, Money(held.amount_minor, held.currency))
    token = parse_token(call.token)
    if token is None:
        return Effect(Declined("token_unknown", "There is no such payment method."))
    match token.outcome:
        case TokenOutcome.OK:
            return _grant(held, clock)
        case TokenOutcome.DECLINED:
            return Effect(Declined("card_declined", "The card was declined."))
        case TokenOutcome.INSUFFICIENT_FUNDS:
            return Effect(Declined("insufficient_funds", "The account does not hold enough."))
        case TokenOutcome.ACTION_REQUIRED:
            waiting = replace(held, status=PaymentStatus.ACTION_REQUIRED)
            return Effect(ActionRequired(held.reference, _action(held.reference)), waiting)
        case _:
            assert_never(token.outcome)


def _grant(held: PaymentObject, clock: Clock) -> Effect:
    changed = replace(
        held,
        status=PaymentStatus.AUTHORIZED,
        authorized_minor=held.amount_minor,
        authorized_until=clock.until,
    )
    return _moved(changed, "authorize", held.amount_minor)


def _capture(call: Call, held: PaymentObject) -> Effect:
    authorized = Money(held.authorized_minor, held.currency)
    if call.amount != authorized:
        return _mismatch(call, authorized)
    if held.status is PaymentStatus.CAPTURED:
        return Effect(_succeed(held))
    changed = replace(held, status=PaymentStatus.CAPTURED, captured_minor=authorized.minor, authorized_until=None)
    return _moved(changed, "capture", authorized.minor)


def _cancel(held: PaymentObject) -> Effect:
    if held.status is PaymentStatus.CANCELLED:
        return Effect(_succeed(held))
    changed = replace(held, status=PaymentStatus.CANCELLED, authorized_until=None)
    if held.status is PaymentStatus.AUTHORIZED:
        return _moved(changed, "cancel", held.authorized_minor)
    # Nothing was authorised: there is no movement for the ledger.
    return Effect(_succeed(changed), changed)


def _refund(call: Call, held: PaymentObject) -> Effect:
    captured = Money(held.captured_minor, held.currency)
    if call.amount != captured:
        return _mismatch(call, captured)
    if held.status is PaymentStatus.REFUNDED:
        return Effect(_succeed(held))
    # Parts may have been refunded already, in the dashboard: what moves is the rest.
    changed = replace(held, status=PaymentStatus.REFUNDED, refunded_minor=captured.minor)
    return _moved(changed, "refund", captured.minor - held.refunded_minor)


def _moved(changed: PaymentObject, kind: str, amount_minor: int) -> Effect:
    return Effect(_succeed(changed), changed, LedgerEntry(changed.reference, kind, amount_minor))


def _mismatch(call: Call, expected: Money) -> Effect:
    return Effect(Declined("amount_mismatch", f"{call.amount} was asked for, {expected} is due."))
