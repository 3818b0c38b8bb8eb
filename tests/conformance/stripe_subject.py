"""Our Stripe adapter, on localstripe behind a front that keeps keys and goes wrong on demand."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID, uuid4

import stripe

from pipeline.gateways.charges import ChargeVerb
from pipeline.gateways.conformance.subject import Fault, Subject, Tokens, Webhook
from pipeline.gateways.gateway import Verb
from tests.integration.gateways.stripe.front import Front, run_front
from tests.integration.gateways.stripe.local import Local, run_local
from tests.integration.gateways.stripe.setting import WEBHOOK_SECRET, run_gateway

#: Cards of Stripe's test world, as the browser would turn them into PaymentMethods.
DECLINED_CARD: Final = "4000000000000341"
CHALLENGED_CARD: Final = "4000002500003155"


@contextmanager
def build() -> Iterator[Subject]:
    """Start localstripe, the front and the adapter."""
    with (
        shorten_pause(),
        run_local() as local,
        run_front(local) as front,
        run_gateway(front.url, gateway_timeout_seconds=0.5) as gateway,
    ):
        yield Subject(
            gateway=gateway,
            tokens=Tokens(
                ok=local.make_card("4242424242424242"),
                declined=local.make_card(DECLINED_CARD),
                action=local.make_card(CHALLENGED_CARD),
            ),
            missing="pi_3Missing000000000000000",
            movements=lambda reference: read_movements(local, reference),
            count_objects=lambda checkout_id: count_objects(local, checkout_id),
            act_as_buyer=lambda reference, approve: act_as_buyer(local, reference, approve=approve),
            let_expire=front.provider.let_expire,
            fail_refund=front.provider.aftermath.fail_refund,
            open_dispute=front.provider.aftermath.open_dispute,
            make_webhook=make_webhook,
            provoke=Provoker(front),
            faults=frozenset(Fault),
        )


@contextmanager
def shorten_pause() -> Iterator[None]:
    """Let the SDK wait for less than its half a second before it repeats a request: the suite makes it do so often."""
    usual = stripe.HTTPClient.INITIAL_DELAY
    stripe.HTTPClient.INITIAL_DELAY = 0.05
    try:
        yield
    finally:
        stripe.HTTPClient.INITIAL_DELAY = usual


class Provoker:
    """Makes the front go wrong."""

    def __init__(self, front: Front) -> None:
        """Bewitch this front."""
        self._front = front

    @contextmanager
    def __call__(self, fault: Fault, verb: Verb | ChargeVerb, token: str) -> Iterator[str]:
        """Let every call of the verb go wrong until the context is left. At Stripe all refunds are of one kind."""
        with self._front.bewitch(fault, Verb.REFUND if isinstance(verb, ChargeVerb) else verb):
            yield token


def read_movements(local: Local, reference: str) -> tuple[int, int]:
    """Return what was captured and what was refunded, by localstripe's own ledger."""
    charge = local.read_intent(reference)["latest_charge"]
    if charge is None or not charge["captured"]:
        return 0, 0
    return charge["amount"], charge["amount_refunded"]


def count_objects(local: Local, checkout_id: UUID) -> int:
    """Return how many intents name the checkout."""
    return sum(each["metadata"].get("checkout_id") == str(checkout_id) for each in local.list_intents())


def act_as_buyer(local: Local, reference: str, *, approve: bool) -> None:
    """Pass the bank's challenge, or not; when the intent does not wait any more, it is refused."""
    secret = local.read_intent(reference)["client_secret"]
    path = f"/v1/payment_intents/{reference}/_authenticate"
    assert local.post(path, {"client_secret": secret, "success": approve}).status in (200, 400)


def make_webhook(reference: str | None, checkout_id: UUID, *, age_seconds: float = 0) -> Webhook:
    """Sign an event as Stripe does."""
    intent = {"id": reference, "object": "payment_intent", "metadata": {"checkout_id": str(checkout_id)}}
    other = {"id": "cus_1", "object": "customer", "metadata": {}}
    event = {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": "customer.updated" if reference is None else "payment_intent.succeeded",
        "data": {"object": other if reference is None else intent},
    }
    return sign(json.dumps(event), age_seconds=age_seconds)


def sign(body: str, *, age_seconds: float = 0, secret: str = WEBHOOK_SECRET) -> Webhook:
    """Sign a body as Stripe does, so long ago."""
    signed_at = int(time.time() - age_seconds)
    header = stripe.WebhookSignature.generate_signature_header(body, secret, signed_at)
    return Webhook(body.encode(), {"stripe-signature": header, "content-type": "application/json"})
