"""Starts checkouts, each statement once for all of them: a group over HTTP, a batch of the intake queue, or one alone.

`start_plain` takes what needs no decision: an open cart without a cart lock, and a new idempotency key. It names
whatever else it finds, changes nothing then, and leaves it to `pipeline/intake/commands.py`, one at a time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from models.states import ACTIVE_SQL, CartState
from pipeline.carts.cart_input import TaxIdValidation
from pipeline.carts.storage import GivenCart, create_carts, replace_carts
from pipeline.checkouts.events import Happened, append_events, bind_events
from pipeline.checkouts.locks import lock_free_carts
from pipeline.errors import Code, Invalid
from pipeline.intake.idempotency import IdempotentRequest, take_leases
from pipeline.intake.requests import StartRequest, expected_columns, fingerprint
from pipeline.intake.result import CommandResult
from pipeline.messaging import OutgoingMessage
from pipeline.saga.chain import next_phase
from pipeline.settings import Settings

# Whatever needs a decision. A lease that has expired is one too: its request runs alone.
OBSTACLES: Final = text(f"""
    SELECT g.cart_id FROM unnest(CAST(:cart_ids AS uuid[]), CAST(:owners AS text[]), CAST(:keys AS text[]),
                                CAST(:lease_keys AS text[]), CAST(:brings_cart AS boolean[]))
        AS g (cart_id, owner, key, lease_key, brings_cart)
    LEFT JOIN carts k ON k.id = g.cart_id
    WHERE CASE WHEN k.id IS NULL THEN NOT g.brings_cart ELSE k.state <> '{CartState.OPEN}' OR k.owner <> g.owner END
       OR EXISTS (SELECT FROM checkouts c WHERE c.cart_id = g.cart_id AND c.state IN ({ACTIVE_SQL}))
       OR EXISTS (SELECT FROM owner_moves m WHERE m.owner = g.owner AND m.state <> 'arrived')
       OR EXISTS (SELECT FROM idempotency_keys i WHERE i.owner = g.owner AND i.key = g.key)
       OR EXISTS (SELECT FROM stored_responses r WHERE r.owner = g.owner AND r.key = g.lease_key)
""")

# So that an editor with an older snapshot fails, which cannot see the new cart lock: see models/cart.py.
RAISE_LOCK_VERSIONS: Final = text("""
    UPDATE carts SET lock_version = lock_version + 1 WHERE id = ANY(CAST(:ids AS uuid[]))
""")

# The checkouts, their keys, their payments and their first events.
INSERT: Final = text(f"""
    WITH given AS (
        SELECT g.*, coalesce(g.lines, (SELECT count(*) FROM cart_lines l WHERE l.cart_id = g.cart_id)) AS line_count
        FROM unnest(CAST(:ids AS uuid[]), CAST(:cart_ids AS uuid[]), CAST(:owners AS text[]),
                    CAST(:upstream_references AS text[]), CAST(:currencies AS text[]), CAST(:lines AS integer[]),
                    CAST(:totals AS bigint[]), CAST(:hashes AS text[]), CAST(:expected_lines AS text[]),
                    CAST(:ttls AS double precision[]), CAST(:keys AS text[]), CAST(:fingerprints AS text[]),
                    CAST(:tokens AS text[]))
             AS g (id, cart_id, owner, reference, currency, lines, expected_total_minor, expected_hash, expected_lines,
                   ttl_seconds, key, fingerprint, token)
    ), started AS (
        INSERT INTO checkouts (id, cart_id, owner, reference, currency, straight_through, payment_given, line_count,
                               expected_total_minor, expected_hash, expected_lines, expires_at, sent_at, due_at,
                               due_reason)
        SELECT id, cart_id, owner, reference, currency, token IS NOT NULL, token IS NOT NULL, line_count,
               expected_total_minor, expected_hash, CAST(expected_lines AS jsonb),
               now() + make_interval(secs => ttl_seconds), now(),
               now() + make_interval(secs => :redeliver_after_seconds), 'stalled'
        FROM given
    ), bound AS (
        INSERT INTO idempotency_keys (owner, key, action, fingerprint, checkout_id)
        SELECT owner, key, 'start', fingerprint, id FROM given WHERE key IS NOT NULL ORDER BY owner, key
        ON CONFLICT DO NOTHING RETURNING checkout_id
    ), paid AS (
        INSERT INTO payments (checkout_id, gateway, token) SELECT id, :gateway, token FROM given WHERE token IS NOT NULL
    ), {append_events("given")}
    SELECT now() AS sent_at, ARRAY(SELECT checkout_id FROM bound) AS bound
""")


#: Lines of a cart in a group of requests: a larger one is written by itself.
MOST_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Start:
    """A request to start a checkout. `validated` is what is known of its cart's tax id.

    With `lease` the response to it is stored, and it is leased for `lease_seconds` in the same transaction.
    """

    request: StartRequest
    validated: TaxIdValidation | None = None
    lease: IdempotentRequest | None = None
    lease_seconds: float = 0.0

    @property
    def cart_id(self) -> UUID:
        """The cart that it names or brings along."""
        return self.request.wanted_cart_id

    @property
    def content(self) -> GivenCart | None:
        """The cart that it brings along."""
        cart = self.request.cart
        return None if cart is None else GivenCart(self.request.owner, cart, self.validated)


@dataclass(frozen=True, slots=True)
class Startable:
    """A request that may start, with the currency of its cart, which is locked; `is_new` if it has just been written.

    `content` replaces that of a cart that is not new.
    """

    request: StartRequest
    ttl_seconds: int
    currency: str
    is_new: bool
    content: GivenCart | None

    @property
    def cart_id(self) -> UUID:
        """The cart."""
        return self.request.wanted_cart_id


class NotPlainError(Exception):
    """Raised when some of a group need a decision, or wait for a row lock: the caller rolls back and leaves them out.

    No two of a group have the same cart, so `cart_ids` names them.
    """

    def __init__(self, cart_ids: Iterable[UUID]) -> None:
        """Name them."""
        self.cart_ids = frozenset(cart_ids)
        super().__init__(f"{len(self.cart_ids)} of a group are not plain")


def may_be_grouped(request: StartRequest) -> bool:
    """Return whether this request delays no other one of its group: its cart is small, and no validator is asked."""
    cart = request.cart
    return cart is None or (len(cart.lines) <= MOST_LINES and cart.tax_id is None)


def find_ttl(request: StartRequest, settings: Settings) -> int:
    """Return for how many seconds a request reserves stock, after the checks that need no row; Invalid otherwise."""
    if request.payment is not None and request.idempotency_key is None:
        raise Invalid(Code.KEY_REQUIRED)
    ttl_seconds = request.ttl_seconds or settings.ttl_minutes * 60
    if ttl_seconds > settings.ttl_cap_minutes * 60:
        raise Invalid(Code.TTL_TOO_LONG, cap_seconds=settings.ttl_cap_minutes * 60)
    return ttl_seconds


def find_plain(connection: Connection, starts: Sequence[Start], settings: Settings) -> list[Start]:
    """Return those of these requests that need no decision as far as one statement tells, without a row lock."""
    valid = [each for each in starts if _is_valid(each.request, settings)]
    obstacles = _find_obstacles(connection, valid, before_lease=True) if valid else ()
    return [each for each in valid if each.cart_id not in obstacles]


def start_plain(connection: Connection, starts: Sequence[Start], settings: Settings) -> list[CommandResult]:
    """Start the checkouts of these requests, of which no two have the same cart or the same key.

    Raises NotPlainError; the caller rolls back. It waits neither for the row of an existing cart nor for a lease.
    """
    leased = take_leases(connection, [(each.lease, each.lease_seconds) for each in starts if each.lease is not None])
    _leave_out(each.cart_id for each in starts if each.lease is not None and each.lease not in leased)
    created = create_carts(connection, [content for each in starts if (content := each.content) is not None])
    old_ids = [each.cart_id for each in starts if each.cart_id not in created]
    currencies = {row.id: row.currency for row in lock_free_carts(connection, old_ids)} if old_ids else {}
    _leave_out(each for each in old_ids if each not in currencies)
    if old_ids:
        # Again after the row locks: earlier starts of these carts have been committed by now.
        _leave_out(_find_obstacles(connection, starts, before_lease=False))
    startable = [
        Startable(
            each.request,
            find_ttl(each.request, settings),
            currencies[each.cart_id] if each.request.cart is None else each.request.cart.currency,
            each.cart_id in created,
            each.content,
        )
        for each in starts
    ]
    return write_starts(connection, startable, settings)


def write_starts(connection: Connection, startable: Sequence[Startable], settings: Settings) -> list[CommandResult]:
    """Write the checkouts of these requests, whose carts are locked and have no cart lock.

    Raises NotPlainError with those whose keys another transaction has bound meanwhile; the caller rolls back.
    """
    replace_carts(connection, [each.content for each in startable if each.content is not None and not each.is_new])
    if old_ids := [each.cart_id for each in startable if not each.is_new]:
        connection.execute(RAISE_LOCK_VERSIONS, {"ids": old_ids})
    ids = [uuid7() for _ in startable]
    row = connection.execute(INSERT, _bind(ids, startable, settings)).one()
    bound = set(row.bound)
    _leave_out(
        each.cart_id
        for id_, each in zip(ids, startable, strict=True)
        if each.request.idempotency_key and id_ not in bound
    )
    queue = next_phase(0).queue
    return [CommandResult(id_, changed=True, messages=[OutgoingMessage(queue, id_, row.sent_at)]) for id_ in ids]


def _leave_out(cart_ids: Iterable[UUID]) -> None:
    if others := frozenset(cart_ids):
        raise NotPlainError(others)


def _is_valid(request: StartRequest, settings: Settings) -> bool:
    try:
        find_ttl(request, settings)
    except Invalid:
        return False
    return True


def _find_obstacles(connection: Connection, starts: Sequence[Start], *, before_lease: bool) -> set[UUID]:
    """Return the carts of those that need a decision; the leases of these requests are none once they are taken."""
    found = connection.execute(
        OBSTACLES,
        {
            "cart_ids": [each.cart_id for each in starts],
            "owners": [each.request.owner for each in starts],
            "keys": [each.request.idempotency_key for each in starts],
            "lease_keys": [each.lease.key if before_lease and each.lease is not None else None for each in starts],
            "brings_cart": [each.request.cart is not None for each in starts],
        },
    )
    return set(found.scalars())


def _bind(ids: Sequence[UUID], startable: Sequence[Startable], settings: Settings) -> dict[str, Any]:
    requests = [each.request for each in startable]
    expected = [expected_columns(request) for request in requests]
    return {
        "ids": ids,
        "cart_ids": [request.wanted_cart_id for request in requests],
        "owners": [request.owner for request in requests],
        "upstream_references": [request.reference for request in requests],
        "currencies": [each.currency for each in startable],
        "lines": [None if each.content is None else len(each.content.cart.lines) for each in startable],
        "totals": [each["expected_total_minor"] for each in expected],
        "hashes": [each["expected_hash"] for each in expected],
        "expected_lines": [each["expected_lines"] for each in expected],
        "ttls": [each.ttl_seconds for each in startable],
        "keys": [request.idempotency_key for request in requests],
        "fingerprints": [None if request.idempotency_key is None else fingerprint(request) for request in requests],
        "tokens": [None if request.payment is None else request.payment.token for request in requests],
        "gateway": settings.gateway,
        "redeliver_after_seconds": settings.redeliver_after_seconds,
        **bind_events([Happened("checkout.started", ids)]),
    }
