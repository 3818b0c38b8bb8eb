"""Stored responses of payment requests, by idempotency key: the same response again, for a day.

The lease is written in the transaction that does the work, so that a process that crashes leaves either nothing or the
checkout and a lease that expires; `idempotency_keys` makes the repeat find that checkout. After a day only that is
left.
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

# The first answer is the answer: what is written once is never written over.
KEEP: Final = text("""
    INSERT INTO stored_responses AS a (owner, key, fingerprint, leased_until, status, headers, body)
    VALUES (:owner, :key, :fingerprint, now(), :status, CAST(:headers AS jsonb), :body)
    ON CONFLICT (owner, key) DO UPDATE SET status = EXCLUDED.status, headers = EXCLUDED.headers, body = EXCLUDED.body
    WHERE a.status IS NULL AND a.fingerprint = EXCLUDED.fingerprint AND CAST(:leased AS boolean)
""")


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request by its key; `fingerprint` stands for everything else in it."""

    owner: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer as it was given."""

    status: int
    headers: Mapping[str, str]
    body: str


def take_lease(connection: Connection, request: IdempotentRequest, seconds: float) -> StoredResponse | None:
    """Take this request on for so long; the first answer if there is one.

    Raises Conflict: KEY_CONFLICT when the key came with another request, KEY_RUNNING while it is being processed. Of
    two at once the second waits here until the first has committed.
    """
    named: dict[str, Any] = {"owner": request.owner, "key": request.key}
    taken = connection.execute(LEASE, {**named, "fingerprint": request.fingerprint, "seconds": seconds})
    if taken.rowcount:
        return None
    known = connection.execute(FIND, named).one_or_none()
    if known is not None and known.fingerprint != request.fingerprint:
        raise Conflict(Code.KEY_CONFLICT, key=request.key)
    if known is None or known.status is None:  # none: its day was over just now
        raise Conflict(Code.KEY_RUNNING, key=request.key)
    return StoredResponse(known.status, known.headers, known.body)


def keep(connection: Connection, request: IdempotentRequest, answer: StoredResponse, *, leased: bool) -> None:
    """Keep the first answer of a request; `leased` is False for a refusal: its lease was rolled back with its
    transaction.
    """
    connection.execute(
        KEEP,
        {
            "owner": request.owner,
            "key": request.key,
            "fingerprint": request.fingerprint,
            "status": answer.status,
            "headers": json.dumps(dict(answer.headers)),
            "body": answer.body,
            "leased": leased,
        },
    )
