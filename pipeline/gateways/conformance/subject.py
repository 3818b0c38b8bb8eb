"""What the conformance suite needs of an adapter, to test it.

`pytest --gateway package.module:build` calls `build()`, or `build(settings)` if it has a parameter of that name: then
the suite passes settings with a real database and short times, and starts a server where there is none. `build` returns
a context manager that yields one `Subject` for the whole run. Tests of what a subject leaves out are skipped, with the
name of the missing attribute.

    @contextmanager
    def build() -> Iterator[Subject]:
        with start_test_bank() as bank:
            gateway = MyGateway(bank.url, timeout_seconds=0.5)
            yield Subject(gateway=gateway, tokens=Tokens(ok="card_ok"), missing="pay_0", movements=bank.read_sums)
            gateway.close()
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from pipeline.gateways.charges import ChargeVerb
from pipeline.gateways.gateway import Gateway, Verb


class Fault(StrEnum):
    """What can go wrong with a call in the network or at the provider."""

    TIMEOUT_BEFORE = "timeout_before"  # no answer in time, and nothing happened
    TIMEOUT_AFTER = "timeout_after"  # no answer in time, and it happened
    ERROR_BEFORE = "error_before"  # a server error, and nothing happened
    ERROR_AFTER = "error_after"  # a server error, and it happened
    BROKEN_BEFORE = "broken_before"  # the connection breaks before the provider has read the request
    BROKEN_AFTER = "broken_after"  # the connection breaks after it happened
    MALFORMED = "malformed"  # it happened, and the answer cannot be read
    SLOW = "slow"  # it happened, and the answer comes late but in time
    REFUSED = "refused"  # no server listens: the request was never sent
    BUSY = "busy"  # too many requests: nothing happened
    ACCESS = "access"  # the provider refuses the API key: nothing happened
    STUCK = "stuck"  # this key gets a server error now and for ever, and nothing happened


@dataclass(frozen=True, slots=True)
class Tokens:
    """Payment methods for the provider's tests; None where there is none of the kind."""

    ok: str
    declined: str | None = None
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook in the provider's form. Header names are in lower case."""

    body: bytes
    headers: Mapping[str, str]


class WebhookMaker(Protocol):
    """Makes and signs webhooks as the provider would."""

    def __call__(self, reference: str | None, checkout_id: UUID, *, age_seconds: float = 0) -> Webhook:
        """Return a webhook about this object, signed `age_seconds` ago; without a reference, of an irrelevant kind.

        The provider need not have the object: the suite also names references that it does not have.
        """


class Buyer(Protocol):
    """The buyer at the bank's page."""

    def __call__(self, reference: str, *, approve: bool) -> None:
        """Approve or refuse the payment of an object; without effect when it no longer waits for the buyer."""


class Provoke(Protocol):
    """Makes calls go wrong."""

    def __call__(self, fault: Fault, verb: Verb | ChargeVerb, token: str) -> AbstractContextManager[str]:
        """Return a context manager that yields the token to call with, usually `token` itself.

        `verb` is one with a key, REFUND_AMOUNT too. In the context, a call of it with that token goes wrong in this
        way, and so do the adapter's own repeats of it. After the context, the same call works; after STUCK only one
        with a new key does, after ACCESS one with a new key and `token` itself. Other verbs are not affected, except by
        REFUSED.
        """


@dataclass(frozen=True, slots=True)
class Subject:
    """An adapter under test, and the provider behind it.

    Its time-outs should be short (about half a second): the suite waits for many of them. `missing` is a well-formed
    reference that the provider does not have. `currency` is one that it supports, with two decimals.
    """

    gateway: Gateway
    tokens: Tokens
    missing: str
    #: Read from the provider itself, not through the adapter: the sums that it captured and refunded for an object.
    movements: Callable[[str], tuple[int, int]]
    currency: str = "EUR"

    #: Read from the provider itself: how many payment objects it has for a checkout.
    count_objects: Callable[[UUID], int] | None = None
    act_as_buyer: Buyer | None = None
    #: Makes the authorisation of an object expire.
    let_expire: Callable[[str], None] | None = None
    #: Lets a refund fail that was accepted; its name is the provider's.
    fail_refund: Callable[[str], object] | None = None
    #: Opens a dispute of an object over an amount in minor units, as the buyer's bank.
    open_dispute: Callable[[str, int], object] | None = None
    make_webhook: WebhookMaker | None = None
    provoke: Provoke | None = None
    #: The faults that `provoke` can make.
    faults: frozenset[Fault] = frozenset()
