"""Lists Stripe's PaymentIntents for reconciliation."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Protocol

import stripe
from stripe.params import PaymentIntentListParams

from models.states import PaymentStatus
from pipeline.gateways.charges import DisputeState
from pipeline.gateways.gateway import Held
from pipeline.gateways.stripe.amounts import from_stripe
from pipeline.gateways.stripe.answers import describe, sum_refunds
from pipeline.gateways.stripe.charges import Disputes, read_dispute
from pipeline.gateways.stripe.webhook_events import find_checkout

#: The largest page that Stripe returns.
PAGE: Final = 100


class Intents(Protocol):
    """The one call of the SDK that this module makes."""

    def list(self, params: PaymentIntentListParams) -> stripe.ListObject[stripe.PaymentIntent]:
        """Return the first page, which can load the next one."""


def list_held(intents: Intents, disputes: Disputes, since: datetime) -> Iterator[Held]:
    """Yield every intent created since then, newest first, page by page. Errors of the SDK pass through."""
    disputed = _sum_disputes(disputes, since)
    page = intents.list(
        {"created": {"gte": int(since.timestamp())}, "limit": PAGE, "expand": ["data.latest_charge.refunds"]}
    )
    for intent in page.auto_paging_iter():
        yield _read_held(intent, disputed.get(intent.id, 0))


def _sum_disputes(disputes: Disputes, since: datetime) -> dict[str, int]:
    """Return what is disputed or lost, by intent. No dispute is older than its intent."""
    sums: dict[str, int] = defaultdict(int)
    page = disputes.list({"created": {"gte": int(since.timestamp())}, "limit": PAGE})
    for each in page.auto_paging_iter():
        found = read_dispute(each)
        if found.state is not DisputeState.WON and isinstance(each.payment_intent, str):
            sums[each.payment_intent] += found.amount.minor
    return sums


def _read_held(intent: stripe.PaymentIntent, disputed_minor: int) -> Held:
    # An intent in `processing` counts as authorised, so that it is cleaned up.
    status = describe(intent) or PaymentStatus.AUTHORIZED
    return Held(
        reference=intent.id,
        checkout_id=find_checkout(intent.metadata.to_dict()),
        status=status,
        amount=from_stripe(intent.amount, intent.currency),
        captured_minor=from_stripe(intent.amount_received, intent.currency).minor,
        refunded_minor=from_stripe(sum_refunds(intent), intent.currency).minor,
        created_at=datetime.fromtimestamp(intent.created, tz=UTC),
        disputed_minor=disputed_minor,
    )
