"""What happens at Stripe after a purchase, and localstripe does not know: refunds' metadata and failures, disputes."""

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from tests.integration.gateways.stripe.local import Reply

#: So small that a few refunds take several pages.
PAGE: Final = 2
#: Disputes that are not decided, or were lost.
_COUNTED: Final = frozenset({"needs_response", "under_review", "lost"})

Fields = dict[str, Any]


@dataclass
class Aftermath:
    """Refunds with what was sent along, those that failed since, and the disputes."""

    metadata: dict[str, Fields] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    disputes: dict[str, Fields] = field(default_factory=dict)

    def amend(self, refund: Fields, reference: str) -> Fields:
        """Return a refund of an intent as Stripe would show it."""
        shown = {**refund, "payment_intent": reference, "metadata": self.metadata.get(refund["id"], {})}
        failure = self.failed.get(refund["id"])
        return shown if failure is None else {**shown, "status": "failed", "failure_reason": failure}

    def list_refunds(self, charge: Fields, given: Fields) -> Reply:
        """Return a page of the refunds of a charge, the newest first."""
        found = [self.amend(each, given["payment_intent"]) for each in reversed(charge["refunds"]["data"])]
        return _page("/v1/refunds", found, given)

    def list_disputes(self, given: Fields) -> Reply:
        """Return a page of the disputes of an intent, or of all that are not older, the newest first."""
        wanted, since = given.get("payment_intent"), int(given.get("created[gte]", 0))
        found = [
            each
            for each in self.disputes.values()
            if wanted in (None, each["payment_intent"]) and each["created"] >= since
        ]
        return _page("/v1/disputes", found[::-1], given)

    def sum_disputed(self, reference: str) -> int:
        """Return what is disputed of an intent."""
        return sum(
            each["amount"]
            for each in self.disputes.values()
            if each["payment_intent"] == reference and each["status"] in _COUNTED
        )

    def fail_refund(self, refund: str, failure: str = "expired_or_canceled_card") -> None:
        """Let a refund fail that was accepted."""
        self.failed[refund] = failure

    def open_dispute(self, reference: str, amount: int, currency: str = "eur") -> str:
        """Open a dispute as the buyer's bank; returns its id."""
        number = len(self.disputes) + 1
        dispute = f"du_1Test{number}"
        self.disputes[dispute] = {
            "id": dispute,
            "object": "dispute",
            "payment_intent": reference,
            "amount": amount,
            "currency": currency,
            "status": "needs_response",
            "reason": "fraudulent",
            "created": int(time.time()),
        }
        return dispute

    def decide(self, dispute: str, status: str) -> None:
        """Give a dispute another status."""
        self.disputes[dispute]["status"] = status


def _page(url: str, found: list[Fields], given: Fields) -> Reply:
    ids = [each["id"] for each in found]
    first = ids.index(given["starting_after"]) + 1 if "starting_after" in given else 0
    size = min(int(given.get("limit", PAGE)), PAGE)
    data = found[first : first + size]
    return Reply(HTTPStatus.OK, {"object": "list", "url": url, "data": data, "has_more": first + size < len(found)})
