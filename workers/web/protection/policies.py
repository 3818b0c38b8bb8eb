"""The rate limits by name, and which of them each route has."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, TypeVar

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_MARK: Final = "rate_limit_policy"


class Policy(StrEnum):
    """What a rate limit protects, by the name that its headers have."""

    READS = "reads"  # an API key's requests that change nothing
    WRITES = "writes"  # an API key's requests that write, or start work
    ANONYMOUS = "anonymous"  # an address's requests without an API key that is known to be valid
    SIGN_INS = "sign_ins"  # an address's attempts to sign in
    ALL_SIGN_INS = "all_sign_ins"  # those of all addresses together


def limited_as(policy: Policy | None) -> Callable[[Endpoint], Endpoint]:
    """Mark a route with what it does, whatever its method is: `GET /checkout` starts a checkout, and is a write.

    None: it has no rate limit; a comment at the route says why. A route without a mark is an error at the start.
    """

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _MARK, policy)
        return endpoint

    return mark


def policy_of(endpoint: Callable[..., Any]) -> Policy | None:
    """Return the rate limit of a route."""
    try:
        policy: Policy | None = getattr(endpoint, _MARK)
    except AttributeError:
        raise TypeError(f"{endpoint.__qualname__} has no rate limit: mark it with limited_as.") from None
    return policy
