"""Stored responses of payment requests, by idempotency key: the same response again, for a day.

The lease is written in the transaction that does the work, so that a process that crashes leaves either nothing or the
checkout and a lease that expires; with `idempotency_keys` the repeat finds that checkout, also after the day.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from pipeline.errors import Code, Conflict

#: Seed of the locks on keys, so that no other advisory lock in the database has the same number.
KEY_LOCKS: Final = 7_266_280

# A lease that is not committed yet may wait for a cart's row lock, for seconds: a group must not wait for it.
LEASE: Final = text("""
    WITH free AS MATERIALIZED (
        SELECT owner, key, fingerprint, seconds
        FROM unnest(CAST(:owners AS text[]), CAST(:keys AS text[]), CAST(:fingerprints AS text[]),
                    CAST(:seconds AS double precision[])) AS asked (owner, key, fingerprint, seconds)
        WHERE CASE WHEN CAST(:waits AS boolean)
                   THEN CAST(pg_advisory_xact_lock(hashtextextended(owner || chr(10) || key, :seed)) AS text) = ''
                   ELSE pg_try_advisory_xact_lock(hashtextextended(owner || chr(10) || key, :seed)) END
    )
    INSERT INTO stored_responses (owner, key, fingerprint, leased_until)
    SELECT owner, key, fingerprint, now() + make_interval(secs => seconds) FROM free ORDER BY owner, key
    ON CONFLICT (owner, key) DO UPDATE SET leased_until = EXCLUDED.leased_until
    WHERE stored_responses.status IS NULL AND stored_responses.leased_until < now()
      AND stored_responses.fingerprint = EXCLUDED.fingerprint
    RETURNING owner, key
""")

FIND: Final = text("""
    SELECT fingerprint, status, headers, body FROM stored_responses WHERE owner = :owner AND key = :key
""")

# The first response counts: a stored response is never overwritten.
KEEP: Final = text("""
    INSERT INTO stored_responses AS a (owner, key, fingerprint, leased_until, status, headers, body)
    SELECT owner, key, fingerprint, now(), status, CAST(headers AS jsonb), body
    FROM unnest(CAST(:owners AS text[]), CAST(:keys AS text[]), CAST(:fingerprints AS text[]),
                CAST(:statuses AS integer[]), CAST(:headers AS text[]), CAST(:bodies AS text[]))
         AS given (owner, key, fingerprint, status, headers, body)
    ORDER BY owner, key
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


def take_leases(
    connection: Connection, requests: Sequence[tuple[IdempotentRequest, float]], *, waits: bool = False
) -> set[IdempotentRequest]:
    """Lease each of these requests for so many seconds, and return those of which that was possible.

    No two have the same owner and key. One that another transaction is leasing is waited for with `waits`, which is for
    a request alone; otherwise it is left out.
    """
    if not requests:
        return set()
    rows = connection.execute(
        LEASE,
        {
            "owners": [request.owner for request, _ in requests],
            "keys": [request.key for request, _ in requests],
            "fingerprints": [request.fingerprint for request, _ in requests],
            "seconds": [seconds for _, seconds in requests],
            "waits": waits,
            "seed": KEY_LOCKS,
        },
    )
    leased = {(row.owner, row.key) for row in rows}
    return {request for request, _ in requests if (request.owner, request.key) in leased}


def take_lease(connection: Connection, request: IdempotentRequest, seconds: float) -> StoredResponse | None:
    """Lease this request for so long and return None, or return its stored response.

    Raises Conflict: KEY_CONFLICT when the key came with another request, KEY_RUNNING while it is being processed. Of
    two concurrent callers the second waits here until the first has committed.
    """
    if take_leases(connection, [(request, seconds)], waits=True):
        return None
    known = connection.execute(FIND, {"owner": request.owner, "key": request.key}).one_or_none()
    if known is not None and known.fingerprint != request.fingerprint:
        raise Conflict(Code.KEY_CONFLICT, key=request.key)
    if known is None or known.status is None:  # None: it was deleted after its day just now
        raise Conflict(Code.KEY_RUNNING, key=request.key)
    return StoredResponse(known.status, known.headers, known.body)


def keep(
    connection: Connection, responses: Sequence[tuple[IdempotentRequest, StoredResponse]], *, leased: bool
) -> None:
    """Store the first response to each of these requests, of which no two have the same owner and key.

    `leased` is False for refusals, whose leases were rolled back.
    """
    connection.execute(
        KEEP,
        {
            "owners": [request.owner for request, _ in responses],
            "keys": [request.key for request, _ in responses],
            "fingerprints": [request.fingerprint for request, _ in responses],
            "statuses": [stored.status for _, stored in responses],
            "headers": [json.dumps(dict(stored.headers)) for _, stored in responses],
            "bodies": [stored.body for _, stored in responses],
            "leased": leased,
        },
    )
