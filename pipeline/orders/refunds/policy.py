"""What a change that pays money back does next: refund, repeat with the same key, ask, wait, or end. Pure.

A refund of unknown outcome is repeated with its key while the provider surely knows that. After that, and after the
last repeat, the provider is asked whether it exists: only one that does not exist gets a new key.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from models.states import RefundStatus
from pipeline.database.backoff import back_off
from pipeline.errors import Code
from pipeline.gateways.charges import ChargeVerb
from pipeline.orders.changes import LockedChange, Reason
from pipeline.orders.refunds.row import ABSENT, CANNOT_TELL, MISCONFIGURED, Refund
from pipeline.settings import Settings

#: Keys that a refund gets by itself. A provider that has lost so many is looked at by a person.
MOST_KEYS: Final = 3
#: Added to the wait for a lease, so that it has surely ended.
_MARGIN: Final = timedelta(milliseconds=10)


@dataclass(frozen=True, slots=True)
class Finish:
    """The money is paid back, or there is none to pay: the rest of the change is to be done."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The provider refuses for good: nothing else of the change happens."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Ask:
    """No rule settles it: a person decides."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing can be done for so many seconds."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Make:
    """Call the provider; `refund` is the row of the key, None for a new one."""

    verb: ChargeVerb
    refund: Refund | None = None


Plan = Finish | Fail | Ask | Pause | Make


def plan_refund(change: LockedChange, settings: Settings) -> Plan:
    """Return what a refund or a cancel does next."""
    if change.amount_minor == 0:
        return Finish()
    if not change.refunds:
        return Make(ChargeVerb.REFUND_AMOUNT)
    last = change.refunds[-1]
    match last.status:
        case RefundStatus.SUCCEEDED:
            return Finish()
        case RefundStatus.RETURNED:
            return Make(ChargeVerb.REFUND_AMOUNT) if change.is_retried else Ask(explain(change, Code.REFUND_RETURNED))
        case RefundStatus.DECLINED if last.code == ABSENT:
            keys = sum(each.code == ABSENT for each in change.refunds)
            if keys >= MOST_KEYS and not change.is_retried:
                return Ask(explain(change, Code.REFUND_UNRESOLVED))
            return Make(ChargeVerb.REFUND_AMOUNT)
        case RefundStatus.DECLINED:
            return Fail(explain(change, Code.REFUND_DECLINED))
        case _:
            return _plan_unsettled(change, last, settings)


def _plan_unsettled(change: LockedChange, last: Refund, settings: Settings) -> Plan:
    if last.leased_until is not None and last.leased_until > change.now:
        return Pause((last.leased_until - change.now + _MARGIN).total_seconds(), "it is being called")
    if last.code == CANNOT_TELL and not change.is_retried:
        return Ask(explain(change, Code.REFUND_UNRESOLVED))
    if last.code == MISCONFIGURED and last.attempts >= settings.max_attempts:
        return Ask(Reason(Code.GATEWAY_MISCONFIGURED, {"reason": last.last_error, "amount": str(change.amount)}))
    is_too_old = (change.now - last.created_at).total_seconds() > settings.idempotency_key_max_age_seconds
    asks = change.is_retried or is_too_old or last.attempts >= settings.max_attempts
    # It is asked for as often as it was repeated.
    most = settings.max_attempts if change.is_retried else 2 * settings.max_attempts
    if asks and last.attempts >= most:
        return Ask(explain(change, Code.REFUND_UNRESOLVED))
    if (left := _pause(change, last, settings)) > 0:
        return Pause(left, f"its outcome is not known: {last.last_error}")
    return Make(ChargeVerb.FIND_REFUND if asks else ChargeVerb.REFUND_AMOUNT, last)


def _pause(change: LockedChange, last: Refund, settings: Settings) -> float:
    """Return what is left of the back-off, which counts from the last answer."""
    if last.attempts == 0 or last.leased_until is not None:
        return 0.0
    wait = back_off(last.attempts - 1, first_seconds=settings.retry_seconds, longest_seconds=settings.retry_cap_seconds)
    return wait - (change.now - last.updated_at).total_seconds()


def explain(change: LockedChange, code: Code) -> Reason:
    """Return why a change ends or waits so, with what is known of its last refund."""
    last = change.refunds[-1]
    return Reason(code, {"amount": str(change.amount), "error": last.last_error or last.code or "no answer"})
