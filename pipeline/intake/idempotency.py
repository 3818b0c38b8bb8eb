"""Stored responses of payment requests, by idempotency key: the same response again, for a day.

The lease is written in the transaction that does the work, so that a process that crashes leaves either nothing or the
checkout and a lease that expires; with `idempotency_keys` the repeat finds that checkout, also after the day.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from pipeline.errors import Code, Conflict

LEASE: Final = text("""
    INSERT INTO stored_responses (owner, key, fingerprint, leased_until)
    VALUES (:owner, :key, :fingerprint, now() + make_interval(secs => :seconds))
    ON CONFLICT (owner, key) DO UPDATE SET leased_until = EXCLUDED.leased_until
    WHERE stored_responses.status IS NULL AND stored_responses.leased_until < now()
      AND stored_responses.fingerprint = EXCLUDED.fingerprint
""")

FIND: Final = text("""
    SELECT fingerprint, status, headers, body FROM stored_responses WHERE owner = :owner AND key = :key
""")

# The first response counts: a stored response is never overwritten.
KEEP: Final = text("""
    INSERT INTO stored_responses AS a (owner, key, fingerprint, leased_until, status, headers, body)
    VALUES (:owner, :key, :fingerprint, now(), :status, CAST(:headers AS jsonb), :body)
    ON CONFLICT (owner, key) DO UPDATE SET status = EXCLUDED.status, headers = EXCLUDED.headers, body = EXCLUDED.body
    WHERE a.status IS NULL AND a.fingerprint = EXCLUDED.fingerprint AND CAST(:leased AS boolean)
""")


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request with its idempotency key; `fingerprint` is of everything else in it."""

    owner: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The first response to an idempotency key."""

    status: int
    headers: Mapping[str, str]
    body: str


def take_lease(connection: Connection, request: IdempotentRequest, seconds: float) -> StoredResponse | None:
    """Lease this request for so long and return None, or return its stored response.

    Raises Conflict: KEY_CONFLICT when the key came with another request, KEY_RUNNING while it is being processed. Of
    two concurrent callers the second waits here until the first has committed.
    """
    named: dict[str, Any] = {"owner": request.owner, "key": request.key}
    leased = connection.execute(LEASE, {**named, "fingerprint": request.fingerprint, "seconds": seconds})
    if leased.rowcount:
        return None
    known = connection.execute(FIND, named).one_or_none()
    if known is not None and known.fingerprint != request.fingerprint:
        raise Conflict(Code.KEY_CONFLICT, key=request.key)
    if known is None or known.status is None:  # None: it was deleted after its day just now
        raise Conflict(Code.KEY_RUNNING, key=request.key)
    return StoredResponse(known.status, known.headers, known.body)


def keep(connection: Connection, request: IdempotentRequest, stored: StoredResponse, *, leased: bool) -> None:
    """Store the first response to a request; `leased` is False for a refusal, whose lease was rolled back."""
    connection.execute(
        KEEP,
        {
            "owner": request.owner,
            "key": request.key,
            "fingerprint": request.fingerprint,
            "status": stored.status,
            "headers": json.dumps(dict(stored.headers)),
            "body": stored.body,
            "leased": leased,
        },
    )
