"""Requests to the bank, and its replies."""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

from pipeline.gateways.gateway import Answer, Call, Details, Verb


class Visit(StrEnum):
    """Requests without a key: a retrieval of the object, and the buyer at the bank's page."""

    RETRIEVE = "retrieve"
    APPROVE = "approve"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Keyed:
    """One call with its verb and its idempotency key."""

    verb: Verb
    call: Call

    @property
    def reference(self) -> str | None:
        """The object it is about; `open` has none yet."""
        return None if self.verb is Verb.OPEN else self.call.reference

    @property
    def fingerprint(self) -> str:
        """Everything that must be the same when the key is the same."""
        call = self.call
        amount = [call.amount.minor, call.amount.currency]
        return json.dumps(
            [self.verb, self.reference, str(call.checkout_id), *amount, call.token, _digest(call.details)]
        )


def _digest(details: Details) -> str:
    # The bank stores no addresses: it only detects a repeat with others.
    text = repr((details.reference, details.order_id, details.shipping, details.email))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Unkeyed:
    """One visit."""

    visit: Visit
    reference: str | None


Request = Keyed | Unkeyed


@dataclass(frozen=True, slots=True)
class Reply:
    """The bank's answer, and how long it takes to arrive once it is decided."""

    answer: Answer
    delay_seconds: float = 0
