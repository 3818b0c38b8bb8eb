"""Stripe as a gateway. Every call has the engine's idempotency key, and so have the SDK's own repeats of it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar, assert_never
from uuid import UUID

import stripe
import structlog
from stripe.params import PaymentIntentConfirmParams, PaymentIntentCreateParams

from models.money import Money
from pipeline.errors import Code, Invalid, Unavailable
from pipeline.gateways.charges import ChargeCall, ChargeRetrieval, ChargeVerb, FindRefundAnswer, RefundAnswer
from pipeline.gateways.gateway import (
    Answer,
    Call,
    Declined,
    Held,
    InboundWebhook,
    Misconfigured,
    NotChargeable,
    Transient,
    Unknown,
    Verb,
)
from pipeline.gateways.stripe import charges, ledger, webhook_events
from pipeline.gateways.stripe.amounts import find_chargeable, to_stripe
from pipeline.gateways.stripe.answers import read_intent, read_refund
from pipeline.gateways.stripe.particulars import describe_purchase, write_metadata, write_shipping
from pipeline.gateways.stripe.refusals import PAYMENT_METHOD_UNKNOWN, explain, explain_look_up, explain_refund
from pipeline.gateways.stripe.settings import StripeSettings
from pipeline.gateways.stripe.tokens import ConfirmationToken, PaymentMethod, read_token
from pipeline.gateways.stripe.wire import REPEATS, Wire
from pipeline.settings import Settings, SettingsError

log = structlog.get_logger(__name__)

T = TypeVar("T")


class StripeGateway:
    """Implements `Gateway` on PaymentIntents. Safe for any number of threads; holds connections, and no state."""

    name = "stripe"

    def __init__(self, settings: Settings, own: StripeSettings | None = None) -> None:
        """Connect to nothing yet; `own` is read unless it is given. Raises SettingsError without a secret key."""
        own = own or StripeSettings.read(settings)
        key = own.api_key.get_secret_value().strip() if own.api_key is not None else ""
        if not key or key.startswith("pk_"):
            raise SettingsError("Set CHECKOUT_STRIPE_API_KEY to Stripe's secret key (sk_... or rk_...).")
        # One client has no such switch. It also prevents the SDK from writing an id of the machine to the home folder.
        stripe.enable_telemetry = False
        # The SDK's debug lines are whole bodies, client secrets included.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self._wire = Wire(settings.gateway_timeout_seconds, settings.gateway_concurrency)
        base = own.api_base
        client = stripe.StripeClient(
            key,
            http_client=self._wire,
            max_network_retries=REPEATS,
            base_addresses={"api": base.rstrip("/")} if base else {},
        )
        self._intents, self._refunds = client.v1.payment_intents, client.v1.refunds
        self._disputes = client.v1.disputes
        self._return_url = own.return_url
        self._secrets = own.webhook_secret

    @property
    def call_seconds(self) -> float:
        """The time for connecting and reading, for each attempt of the SDK, and for its pause between them."""
        return self._wire.longest_seconds

    def chargeable(self, amount: Money) -> Money | NotChargeable:
        """Return what of the amount can be charged by Stripe's page of currencies."""
        return find_chargeable(amount)

    def open(self, call: Call) -> Answer:
        """Create the PaymentIntent, without confirming it, with all details of the purchase.

        In live mode Stripe sends its receipt to `details.email` when the money is captured.
        """
        amount = to_stripe(call.amount)
        if amount is None:
            return _refuse_amount(call)

        def create() -> Answer:
            params: PaymentIntentCreateParams = {
                "amount": amount,
                "currency": call.amount.currency.lower(),
                "capture_method": "manual",
                "confirm": False,
                "allowed_payment_method_types": ["card"],
                "description": describe_purchase(call),
                "metadata": write_metadata(call),
            }
            if call.details.shipping is not None:
                params["shipping"] = write_shipping(call.details.shipping)
            if call.details.email is not None:
                params["receipt_email"] = call.details.email
            intent = self._intents.create(params, {"idempotency_key": call.key})
            return read_intent(Verb.OPEN, intent, call.amount)

        return self._make(Verb.OPEN, call, create)

    def authorize(self, call: Call) -> Answer:
        """Confirm the PaymentIntent with the token. A bank's page returns the buyer to the return address.

        A token that is neither a ConfirmationToken nor a PaymentMethod is declined without a call.
        """
        token = read_token(call.token)
        if token is None:
            return Declined(
                PAYMENT_METHOD_UNKNOWN, "The token is no ConfirmationToken (ctoken_...) of Stripe's library."
            )

        def confirm() -> Answer:
            params: PaymentIntentConfirmParams = {"expand": ["latest_charge"]}
            if self._return_url is not None:
                params["return_url"] = self._return_url
            else:
                params["use_stripe_sdk"] = True
            match token:
                case PaymentMethod(id_):
                    params["payment_method"] = id_
                case ConfirmationToken(id_):
                    params["confirmation_token"] = id_
                    # The engine's values replace those of the token: for the bank's page, and the order's frozen
                    # address.
                    params["use_stripe_sdk"] = self._return_url is None
                    if call.details.shipping is not None:
                        params["shipping"] = write_shipping(call.details.shipping)
                case _:
                    assert_never(token)
            intent = self._intents.confirm(_reference(call), params, {"idempotency_key": call.key})
            return read_intent(Verb.AUTHORIZE, intent, call.amount)

        return self._make(Verb.AUTHORIZE, call, confirm)

    def capture(self, call: Call) -> Answer:
        """Capture exactly the amount. From here on the PaymentIntent names the order too."""
        amount = to_stripe(call.amount)
        if amount is None:
            return _refuse_amount(call)

        def capture() -> Answer:
            options: stripe.RequestOptions = {"idempotency_key": call.key}
            intent = self._intents.capture(
                _reference(call), {"amount_to_capture": amount, "metadata": write_metadata(call)}, options
            )
            return read_intent(Verb.CAPTURE, intent, call.amount)

        return self._make(Verb.CAPTURE, call, capture)

    def cancel(self, call: Call) -> Answer:
        """Cancel the PaymentIntent, without a reason, so that Stripe's own cancellations can be distinguished."""

        def cancel() -> Answer:
            intent = self._intents.cancel(_reference(call), None, {"idempotency_key": call.key})
            return read_intent(Verb.CANCEL, intent, call.amount)

        return self._make(Verb.CANCEL, call, cancel)

    def refund(self, call: Call) -> Answer:
        """Refund what is left of the captured amount: without an amount, nothing can be refunded twice."""

        def refund() -> Answer:
            made = self._refunds.create(
                {"payment_intent": _reference(call), "metadata": write_metadata(call)}, {"idempotency_key": call.key}
            )
            return read_refund(made, _reference(call))

        return self._make(Verb.REFUND, call, refund)

    def retrieve(self, call: Call) -> Answer:
        """Retrieve the PaymentIntent, its charge and its refunds."""

        def retrieve() -> Answer:
            intent = self._intents.retrieve(_reference(call), {"expand": ["latest_charge.refunds"]})
            return read_intent(Verb.RETRIEVE, intent, call.amount)

        return self._make(Verb.RETRIEVE, call, retrieve)

    def refund_amount(self, call: ChargeCall) -> RefundAnswer:
        """Refund a part of the captured amount; the key is in the refund's metadata."""
        return self._guard(
            ChargeVerb.REFUND_AMOUNT,
            call.checkout_id,
            lambda: charges.refund_amount(self._refunds, call, write_metadata(call)),
            lambda error: explain_refund(error, call.reference, call.amount),
        )

    def find_refund(self, call: ChargeCall) -> FindRefundAnswer:
        """Look through the intent's refunds for the one with this key in its metadata."""
        return self._guard(
            ChargeVerb.FIND_REFUND,
            call.checkout_id,
            lambda: charges.find_refund(self._refunds, call),
            lambda error: explain_look_up(error, call.reference, call.amount),
        )

    def retrieve_charge(self, call: ChargeCall) -> ChargeRetrieval:
        """Retrieve the PaymentIntent, its refunds and its disputes."""
        return self._guard(
            ChargeVerb.RETRIEVE_CHARGE,
            call.checkout_id,
            lambda: charges.retrieve_charge(self._intents, self._refunds, self._disputes, call),
            lambda error: explain_look_up(error, call.reference, call.amount),
        )

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> InboundWebhook:
        """Verify a webhook by the `Stripe-Signature` header and return what it is about."""
        if self._secrets is None:
            raise Invalid(Code.WEBHOOK_INVALID, reason=webhook_events.NO_SECRET)
        return webhook_events.read_webhook(body, headers, self._secrets.get_secret_value())

    def list_held(self, since: datetime) -> Iterator[Held]:
        """Yield every PaymentIntent created since then. Raises Unavailable when Stripe does not answer."""
        try:
            yield from ledger.list_held(self._intents, self._disputes, since)
        except stripe.StripeError as error:
            raise Unavailable(Code.GATEWAY_UNAVAILABLE, reason=_name_error(error)) from None
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise Unavailable(Code.GATEWAY_UNAVAILABLE, reason=f"malformed: {type(error).__name__}") from None

    def close(self) -> None:
        """Close the connections."""
        self._wire.session.close()

    def _make(self, verb: Verb, call: Call, request: Callable[[], Answer]) -> Answer:
        """Make a call to Stripe and return its answer, whatever happens."""
        if call.reference is None and verb is not Verb.OPEN:
            return Misconfigured("payment_unknown")
        return self._guard(
            verb, call.checkout_id, request, lambda error: explain(error, verb, call.reference, call.amount)
        )

    def _guard(
        self,
        verb: Verb | ChargeVerb,
        checkout_id: UUID,
        request: Callable[[], T],
        explain_error: Callable[[stripe.StripeError], T],
    ) -> T | Unknown:
        """Return the answer of a request, whatever happens."""
        self._wire.begin()
        facts: dict[str, object] = {}
        answer: T | Unknown
        try:
            answer = request()
        except stripe.StripeError as error:
            answer = explain_error(error)
            facts = {"status": error.http_status, "request_id": error.request_id}
        except Exception as error:  # noqa: BLE001 - a body of another shape, a bug in the SDK: the call may have worked
            answer = Unknown(f"malformed: {type(error).__name__}")
        if isinstance(answer, Transient | Misconfigured) and self._wire.is_in_doubt:
            # Such an answer does not consider the key: an earlier attempt may have had its effect.
            answer = Unknown(f"{answer.error}, after an attempt without an answer")
        if isinstance(answer, Transient | Misconfigured | Unknown):
            log.warning("stripe.no_answer", verb=verb.value, checkout_id=str(checkout_id), error=answer.error, **facts)
        return answer


def _reference(call: Call) -> str:
    if call.reference is None:
        raise ValueError("the call names no object")
    return call.reference


def _refuse_amount(call: Call) -> Declined:
    return Declined("amount_invalid", f"{call.amount} cannot be charged by card.")


def _name_error(error: stripe.StripeError) -> str:
    """Return the kind of an error, without its text."""
    status = f" ({error.http_status})" if error.http_status is not None else ""
    return f"{type(error).__name__}{status}"
