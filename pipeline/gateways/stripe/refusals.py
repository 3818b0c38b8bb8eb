"""Translates an error of the SDK into an answer. Pure: it reads codes, and passes on only texts for buyers.

Texts of other errors can quote the request: part of an API key, or a card number that came as a token.
"""

from typing import Any, Final

import requests
import stripe

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.charges import CHARGE_DISPUTED, REFUND_EXCEEDS_CHARGE
from pipeline.gateways.gateway import (
    AUTHORIZATION_EXPIRED,
    ActionRequired,
    Answer,
    Declined,
    Misconfigured,
    Succeeded,
    Transient,
    Unknown,
    Verb,
)
from pipeline.gateways.stripe.answers import AUTHENTICATION_FAILED, read_intent
from pipeline.gateways.stripe.wire import chain, has_bad_certificate, was_never_sent

#: The object has another status than the verb needs. The error may contain the object.
_STATE_CODES: Final = frozenset({"payment_intent_unexpected_state", "charge_already_captured"})
#: No payment can be made with the storefront's token.
PAYMENT_METHOD_UNKNOWN: Final = "payment_method_unknown"
_TOKEN_PARAMS: Final = frozenset({"payment_method", "confirmation_token"})
_TOKEN_CODES: Final = ("payment_method_", "confirmation_token_")
#: A partial refund that Stripe surely refuses.
_REFUND_CODES: Final = {
    "charge_already_refunded": REFUND_EXCEEDS_CHARGE,
    "amount_too_large": REFUND_EXCEEDS_CHARGE,
    "charge_disputed": CHARGE_DISPUTED,
    "refund_disputed_payment": CHARGE_DISPUTED,
}
_EXPIRED_CODES: Final = frozenset({"charge_expired_for_capture", "capture_charge_authorization_expired"})
#: Definite declines of this payment that are not card errors.
_DECLINED_CODES: Final = frozenset(
    {
        "amount_too_large",
        "amount_too_small",
        "charge_disputed",
        "charge_exceeds_source_limit",
        "charge_exceeds_transaction_limit",
        "invalid_charge_amount_no_decimal_compatible",
        AUTHENTICATION_FAILED,
        "payment_intent_payment_attempt_expired",
        "payment_intent_payment_attempt_failed",
        "refund_disputed_payment",
    }
)


def explain(error: Exception, verb: Verb, reference: str | None, expected: Money) -> Answer:
    """Return the answer for an error of the SDK. An error that is not surely a no is unknown."""
    match error:
        case stripe.CardError():
            details = _details(error)
            code = details.get("decline_code") or details.get("code") or "card_declined"
            return Declined(code, error.user_message or "")
        case stripe.RateLimitError():
            return Transient(_details(error).get("code") or "rate_limit")
        case stripe.IdempotencyError():
            # The key was used with other parameters: a setting or a version has changed since. This answer does not
            # show what the first call did.
            return Unknown("key_reused")
        case stripe.AuthenticationError() | stripe.PermissionError():
            return Misconfigured(f"access_refused ({error.http_status})")
        case stripe.InvalidRequestError():
            return _explain_request(error, verb, reference, expected)
        case stripe.APIConnectionError():
            return _explain_connection(error)
        case stripe.APIError():
            return _explain_server(error)
        case _:
            return Unknown(type(error).__name__)


def explain_refund(
    error: stripe.StripeError, reference: str, expected: Money
) -> Declined | Transient | Unknown | Misconfigured:
    """Return the answer for an error of a partial refund: what is surely a no is declined."""
    details = _details(error)
    code = details.get("code")
    if known := _REFUND_CODES.get(code or ""):
        return Declined(known)
    if isinstance(error, stripe.InvalidRequestError) and code is None and details.get("param") == "amount":
        # "Refund amount is greater than unrefunded amount on charge": Stripe has no code for it.
        return Declined(REFUND_EXCEEDS_CHARGE)
    answer = explain(error, Verb.REFUND, reference, expected)
    return Unknown("unexpected") if isinstance(answer, Succeeded | ActionRequired) else answer


def explain_look_up(error: stripe.StripeError, reference: str, expected: Money) -> Transient | Unknown | Misconfigured:
    """Return the answer for an error of a look-up: nothing is known then."""
    answer = explain(error, Verb.RETRIEVE, reference, expected)
    return answer if isinstance(answer, Transient | Unknown | Misconfigured) else Unknown("not_shown")


def _explain_request(error: stripe.InvalidRequestError, verb: Verb, reference: str | None, expected: Money) -> Answer:
    details = _details(error)
    code: str | None = details.get("code")
    if code in _STATE_CODES:
        intent = error.error.payment_intent if error.error is not None else None
        return read_intent(verb, intent, expected) if intent is not None else Unknown(str(code))
    if code in _EXPIRED_CODES:
        return Declined(AUTHORIZATION_EXPIRED)
    if code == "charge_already_refunded" and verb is Verb.REFUND and reference is not None:
        return Succeeded(reference, PaymentStatus.REFUNDED)
    if details.get("param") in _TOKEN_PARAMS or (code or "").startswith(_TOKEN_CODES):
        # The storefront's token is wrong, not the access: the buyer may use another card. A ConfirmationToken may also
        # have been used before, or be older than 12 hours.
        return Declined(PAYMENT_METHOD_UNKNOWN if code in (None, "resource_missing") else str(code))
    if code in _DECLINED_CODES:
        return Declined(str(code))
    if error.http_status == 404 or code == "resource_missing":
        return Misconfigured("payment_unknown")
    if verb is Verb.REFUND:
        # Stripe returns no code when there is nothing to refund. Whatever the reason, a repeat gets the same answer.
        return Declined(code or "refund_refused")
    return Misconfigured(f"{code or 'request_refused'} ({details.get('param') or 'no parameter named'})")


def _explain_connection(error: stripe.APIConnectionError) -> Answer:
    if has_bad_certificate(error):
        return Misconfigured("certificate_refused")
    if was_never_sent(error):
        return Transient("unreachable")
    timed_out = any(isinstance(each, requests.Timeout) for each in chain(error))
    return Unknown("timeout" if timed_out else "connection_broken")


def _explain_server(error: stripe.APIError) -> Answer:
    code = _details(error).get("code")
    if code == "lock_timeout":
        return Transient("lock_timeout")
    if error.http_status == 409:
        return Unknown("key_in_use")
    if error.http_status is not None and error.http_status >= 500:
        return Unknown(f"server_error ({error.http_status})")
    return Unknown("malformed")


def _details(error: stripe.StripeError) -> dict[str, Any]:
    """Return the error as Stripe sent it: the SDK leaves the code out of some of its classes."""
    body = error.json_body
    found = body.get("error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}
