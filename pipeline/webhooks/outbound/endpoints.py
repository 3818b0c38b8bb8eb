"""Endpoints: their addresses and event kinds; and the deliveries that an operator lists and replays."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Row, text
from uuid_utils.compat import uuid7

from pipeline.checkouts.events import EVERY_KIND, PUBLIC_KINDS
from pipeline.errors import Code, Invalid
from pipeline.settings import Settings
from pipeline.webhooks.outbound.url_policy import check_url, read_networks

#: Standard Webhooks requires 24 to 64 bytes.
SECRET_BYTES: Final = 32
#: The most deliveries that are shown at once.
SHOWN: Final = 1000

_COLUMNS: Final = "id, owner, url, kinds, active, created_at"

ADD: Final = text(f"""
    INSERT INTO webhook_endpoints (id, owner, url, secret, kinds)
    VALUES (:id, :owner, :url, :secret, CAST(:kinds AS text[])) RETURNING {_COLUMNS}
""")
LIST: Final = text(f"SELECT {_COLUMNS} FROM webhook_endpoints ORDER BY created_at, id")
REMOVE: Final = text("UPDATE webhook_endpoints SET active = false WHERE id = :id AND active")
ABANDON: Final = text("""
    UPDATE webhook_deliveries
    SET status = 'dead_lettered', due_at = NULL, ended_at = now(), last_error = 'the endpoint was removed'
    WHERE endpoint_id = :id AND due_at IS NOT NULL
""")

# A filter that is null selects all.
DELIVERIES: Final = text("""
    SELECT d.id, e.kind, e.checkout_id, p.url, d.status, d.attempts, d.due_at, d.last_status, d.last_error, d.ended_at
    FROM webhook_deliveries d JOIN events e ON e.checkout_id = d.checkout_id AND e.id = d.event_id
    JOIN webhook_endpoints p ON p.id = d.endpoint_id
    WHERE (CAST(:status AS text) IS NULL OR d.status = :status)
      AND (CAST(:checkout_id AS uuid) IS NULL OR e.checkout_id = :checkout_id)
    ORDER BY d.created_at DESC, e.id DESC LIMIT :limit
""")

REPLAY: Final = text("""
    UPDATE webhook_deliveries
    SET status = 'pending', attempts = 0, due_at = now(), ended_at = NULL, created_at = now()
    WHERE status <> 'pending' AND endpoint_id IN (SELECT id FROM webhook_endpoints WHERE active)
      AND CASE WHEN CAST(:ids AS uuid[]) IS NULL THEN status = 'dead_lettered' ELSE id = ANY(CAST(:ids AS uuid[])) END
      AND (CAST(:endpoint_id AS uuid) IS NULL OR endpoint_id = :endpoint_id)
""")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint, without its secret. Without `owner` it gets the events of all owners' checkouts.

    Its kinds are `*` when it gets all of them.
    """

    id: UUID
    owner: str | None
    url: str
    kinds: Sequence[str]
    active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of one event to one endpoint, and its result."""

    id: UUID
    kind: str
    checkout_id: UUID
    url: str
    status: str
    attempts: int
    due_at: datetime | None
    last_status: int | None
    last_error: str | None
    ended_at: datetime | None


def draw_secret() -> str:
    """Return a new secret to sign webhooks with, as Standard Webhooks writes it: `whsec_` and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def add_endpoint(
    connection: Connection, settings: Settings, *, url: str, owner: str | None = None, kinds: Sequence[str] = ()
) -> tuple[Endpoint, str]:
    """Add an endpoint; return it and its secret. Raises Invalid.

    Unless kinds are named, it gets all of them, also those of later releases.
    """
    check_url(url, read_networks(settings.outbound_webhook_private_networks))
    unknown = sorted(set(kinds) - set(PUBLIC_KINDS))
    if unknown:
        reason = f"{', '.join(unknown)} is none of the events {', '.join(PUBLIC_KINDS)}"
        raise Invalid(Code.ENDPOINT_INVALID, reason=reason)
    secret = draw_secret()
    row = connection.execute(
        ADD,
        {
            "id": uuid7(),
            "owner": owner,
            "url": url,
            "secret": secret,
            "kinds": sorted(set(kinds)) or [EVERY_KIND],
        },
    ).one()
    return _endpoint(row), secret


def list_endpoints(connection: Connection) -> list[Endpoint]:
    """Return every endpoint, the oldest first."""
    return [_endpoint(row) for row in connection.execute(LIST)]


def remove_endpoint(connection: Connection, endpoint_id: UUID) -> bool:
    """Remove an endpoint and dead-letter its pending deliveries; return False if there is none."""
    removed = connection.execute(REMOVE, {"id": endpoint_id}).rowcount == 1
    if removed:
        connection.execute(ABANDON, {"id": endpoint_id})
    return removed


def list_deliveries(
    connection: Connection, *, status: str | None = None, checkout_id: UUID | None = None, limit: int = SHOWN
) -> list[Delivery]:
    """Return the newest deliveries, of one status or one checkout if named."""
    found = connection.execute(DELIVERIES, {"status": status, "checkout_id": checkout_id, "limit": limit})
    return [Delivery(**row) for row in found.mappings()]


def replay(connection: Connection, *, ids: Sequence[UUID] | None = None, endpoint_id: UUID | None = None) -> int:
    """Replay deliveries: the named ones, or all dead-lettered ones (of one endpoint); return how many."""
    return connection.execute(REPLAY, {"ids": None if ids is None else list(ids), "endpoint_id": endpoint_id}).rowcount


def _endpoint(row: Row[tuple[object, ...]]) -> Endpoint:
    return Endpoint(**row._mapping)  # noqa: SLF001 (a public attribute, for all its name)
