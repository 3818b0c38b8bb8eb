"""All row locks, in one order: checkouts by id, then carts, orders, stock by (variant, location), coupons by code.

Webhooks are locked by id, in transactions that lock nothing else. `FOR NO KEY UPDATE`, so that foreign keys do not
block. Payments, reservations and orders of an active checkout are written under its row lock and need none of their
own; what happens to an order after it was placed is written under the order's.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models.names import PROMOTION_COLUMNS
from models.states import CheckoutState
from pipeline.checkouts.batch import LockedCheckout
from pipeline.checkouts.conditions import MAY_EXPIRE
from pipeline.checkouts.expected import Expected

_CHECKOUT: Final = """
    id, cart_id, owner, reference, currency, state, phase, fence, straight_through, payment_given,
    expected_total_minor, expected_hash, expected_lines, expires_at, pivot_at, attempts, ending, line_count,
    sent_at, now() AS now
"""

CHECKOUTS: Final = text(f"""
    SELECT {_CHECKOUT} FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
""")

EXPIRED: Final = text(f"""
    SELECT {_CHECKOUT} FROM checkouts c WHERE {MAY_EXPIRE}
    ORDER BY expires_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")

SCHEDULED: Final = text(f"""
    SELECT {_CHECKOUT} FROM checkouts WHERE due_reason = 'scheduled' AND due_at <= now()
    ORDER BY due_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")

# `head`: when the oldest message that waits in the queue was sent. Messages sent before it were delivered, or lost.
# After `redeliver_always_after_seconds` a message is sent again in any case, unless the queue is long enough to hold
# all of them: a backlog is never doubled. They are counted only when one is so late.
STALLED: Final = text(f"""
    SELECT {_CHECKOUT} FROM checkouts
    WHERE due_reason = 'stalled' AND state = :state AND phase = ANY(CAST(:phases AS smallint[])) AND due_at <= now()
      AND (CAST(:head AS timestamptz) IS NULL OR sent_at < :head
           OR (sent_at < now() - make_interval(secs => :redeliver_always_after_seconds)
               AND CAST(:waiting AS bigint) < (
                   SELECT count(*) FROM checkouts
                   WHERE due_reason = 'stalled' AND state = :state AND phase = ANY(CAST(:phases AS smallint[])))))
    ORDER BY sent_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")

CART: Final = text("SELECT id, owner, currency, state FROM carts WHERE id = :id FOR NO KEY UPDATE")
FREE_CARTS: Final = text("""
    SELECT id, owner, currency, state FROM carts WHERE id = ANY(CAST(:ids AS uuid[]))
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")
CARTS: Final = text("SELECT id FROM carts WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")

ORDERS: Final = text("SELECT id FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")

DUE_ORDER_CHANGES: Final = text("""
    SELECT id, now() AS now FROM order_changes WHERE due_at <= now()
    ORDER BY due_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")

DUE_CHARGES: Final = text("""
    SELECT checkout_id AS id, now() AS now FROM payments WHERE charge_due_at <= now()
    ORDER BY charge_due_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")

STOCK: Final = text("""
    SELECT variant_id, location_id, on_hand, reserved, backorderable FROM stock_levels
    WHERE variant_id = ANY(CAST(:variant_ids AS bigint[])) ORDER BY variant_id, location_id FOR NO KEY UPDATE
""")

HELD_STOCK: Final = text("""
    SELECT variant_id, location_id FROM stock_levels
    WHERE (variant_id, location_id) IN (SELECT variant_id, location_id FROM reservations
                                        WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND state = 'held')
    ORDER BY variant_id, location_id FOR NO KEY UPDATE
""")

READ_COUPONS: Final = f"""
    SELECT c.code, c.used, c.usage_limit, c.per_customer_limit, {", ".join(f"p.{each}" for each in PROMOTION_COLUMNS)},
           p.active AND p.starts_at <= now() AND (p.ends_at IS NULL OR p.ends_at > now()) AS valid
    FROM coupons c JOIN promotions p ON p.id = c.promotion_id
    WHERE c.code = ANY(CAST(:codes AS text[])) ORDER BY c.code
"""
COUPONS_LOCKED: Final = text(f"{READ_COUPONS} FOR NO KEY UPDATE OF c")
COUPONS_READ: Final = text(READ_COUPONS)

# `referring_id`: the checkout whose payment refers to the event's object; `named_id`: the one that its metadata names.
INBOUND_WEBHOOKS: Final = """
    SELECT n.id, n.event_id, n.kind, n.reference, n.received_at, now() AS now, referring.checkout_id AS referring_id,
           named.checkout_id AS named_id, named.reference AS named_reference
    FROM webhook_inbox n
    LEFT JOIN payments referring ON referring.reference = n.reference AND referring.gateway = n.gateway
    LEFT JOIN payments named ON named.checkout_id = n.checkout_id AND named.gateway = n.gateway
    WHERE n.id = ANY(CAST(:ids AS uuid[])) AND n.status = 'received'
    ORDER BY n.id FOR NO KEY UPDATE OF n
"""
INBOUND_WEBHOOKS_WAITING: Final = text(INBOUND_WEBHOOKS)
INBOUND_WEBHOOKS_SKIPPING: Final = text(f"{INBOUND_WEBHOOKS} SKIP LOCKED")

DUE_INBOUND_WEBHOOKS: Final = text("""
    SELECT id, now() AS now FROM webhook_inbox WHERE due_at <= now()
    ORDER BY due_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")

# All parts of a body: none of them changes once the event is written. The sweep moves `due_at` on as it sends; the
# dispatcher that leases a delivery moves it further, so that a redelivered message finds nothing.
DELIVERIES: Final = text("""
    SELECT d.id, d.endpoint_id, d.event_id, d.attempts, p.url, p.secret, e.kind, e.phase, e.data, e.at, e.checkout_id,
           c.cart_id, c.owner, c.reference, c.currency, c.failure_code, c.failure_phase, c.failure_message,
           c.failure_detail, o.id AS order_id, o.number AS order_number, o.customer, o.subtotal_minor, o.discount_minor,
           o.shipping_minor, o.tax_minor, o.total_minor, o.cancelled_at
    FROM webhook_deliveries d
    JOIN webhook_endpoints p ON p.id = d.endpoint_id
    JOIN events e ON e.checkout_id = d.checkout_id AND e.id = d.event_id
    JOIN checkouts c ON c.id = e.checkout_id LEFT JOIN orders o ON o.checkout_id = c.id
    WHERE d.id = ANY(CAST(:ids AS uuid[])) AND d.due_at <= now() + make_interval(secs => :redeliver_after_seconds)
    ORDER BY d.id FOR NO KEY UPDATE OF d SKIP LOCKED
""")

DUE_DELIVERIES: Final = text("""
    SELECT id, now() AS now FROM webhook_deliveries WHERE due_at <= now()
    ORDER BY due_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")

# In the order in which transactions of the engine take them: each first locks rows of checkouts, of stock levels or of
# deliveries, which EXCLUSIVE lets nobody do. So none that waits here has locked one of the partitioned tables.
PARTITIONED_TABLES: Final = text("""
    LOCK TABLE checkouts, stock_levels, webhook_deliveries IN EXCLUSIVE MODE;
    LOCK TABLE events, stock_movements IN ACCESS EXCLUSIVE MODE
""")


def lock_checkouts(connection: Connection, ids: Sequence[UUID]) -> list[LockedCheckout]:
    """Lock these checkouts, whatever their state; ids that do not exist are left out."""
    return [_read_checkout(row) for row in connection.execute(CHECKOUTS, {"ids": list(ids)}).all()]


def lock_expired(connection: Connection, limit: int) -> list[LockedCheckout]:
    """Lock expired checkouts, skipping those with a row lock."""
    return [_read_checkout(row) for row in connection.execute(EXPIRED, {"limit": limit}).all()]


def lock_scheduled(connection: Connection, limit: int) -> list[LockedCheckout]:
    """Lock checkouts whose scheduled retry is due."""
    return [_read_checkout(row) for row in connection.execute(SCHEDULED, {"limit": limit}).all()]


def lock_stalled(connection: Connection, **parameters: Any) -> list[LockedCheckout]:
    """Lock checkouts of one queue whose message was delivered or lost, without a commit since."""
    return [_read_checkout(row) for row in connection.execute(STALLED, parameters).all()]


def lock_cart(connection: Connection, cart_id: UUID) -> Row[Any] | None:
    """Lock one cart and return its owner, currency and state, or None when there is none."""
    return connection.execute(CART, {"id": cart_id}).one_or_none()


def lock_free_carts(connection: Connection, ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Lock those of these carts whose rows nobody has locked; return each with its owner, currency and state."""
    return connection.execute(FREE_CARTS, {"ids": list(ids)}).all()


def lock_carts(connection: Connection, ids: Sequence[UUID]) -> None:
    """Lock several carts."""
    connection.execute(CARTS, {"ids": sorted(ids)})


def lock_orders(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Lock these orders and return their ids; those that do not exist are left out."""
    return list(connection.execute(ORDERS, {"ids": list(ids)}).scalars())


def lock_due_order_changes(connection: Connection, limit: int) -> Sequence[Row[Any]]:
    """Lock changes of orders that are due for a retry, or for redelivery of a lost message."""
    return connection.execute(DUE_ORDER_CHANGES, {"limit": limit}).all()


def lock_due_charges(connection: Connection, limit: int) -> Sequence[Row[Any]]:
    """Lock payments of placed orders that are to be read again; return the ids of their checkouts."""
    return connection.execute(DUE_CHARGES, {"limit": limit}).all()


def lock_stock(connection: Connection, variant_ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Lock all stock levels of these variants and return them."""
    return connection.execute(STOCK, {"variant_ids": list(variant_ids)}).all()


def lock_held_stock(connection: Connection, ids: Sequence[UUID]) -> None:
    """Lock the stock levels on which these checkouts hold units."""
    connection.execute(HELD_STOCK, {"ids": list(ids)})


def lock_coupons(connection: Connection, codes: Sequence[str]) -> Sequence[Row[Any]]:
    """Lock these coupons and return them with their promotions; codes that do not exist are left out."""
    return connection.execute(COUPONS_LOCKED, {"codes": list(codes)}).all()


def read_coupons(connection: Connection, codes: Sequence[str]) -> Sequence[Row[Any]]:
    """Return the same rows as `lock_coupons` without locking them."""
    return connection.execute(COUPONS_READ, {"codes": list(codes)}).all()


def lock_inbound_webhooks(
    connection: Connection, ids: Sequence[UUID], *, skip_locked: bool = False
) -> Sequence[Row[Any]]:
    """Lock those of these webhooks that are not settled and return them with the payments they may be about."""
    return connection.execute(
        INBOUND_WEBHOOKS_SKIPPING if skip_locked else INBOUND_WEBHOOKS_WAITING, {"ids": list(ids)}
    ).all()


def lock_due_inbound_webhooks(connection: Connection, limit: int) -> Sequence[Row[Any]]:
    """Lock inbound webhooks that are due for a retry, or for redelivery of a lost message."""
    return connection.execute(DUE_INBOUND_WEBHOOKS, {"limit": limit}).all()


def lock_deliveries(connection: Connection, ids: Sequence[UUID], redeliver_after_seconds: float) -> Sequence[Row[Any]]:
    """Lock those of these deliveries that are due and not leased, and return them with their contents."""
    return connection.execute(DELIVERIES, {"ids": list(ids), "redeliver_after_seconds": redeliver_after_seconds}).all()


def lock_due_deliveries(connection: Connection, limit: int) -> Sequence[Row[Any]]:
    """Lock deliveries that are due for a retry, or for redelivery of a lost message."""
    return connection.execute(DUE_DELIVERIES, {"limit": limit}).all()


def _read_checkout(row: Sequence[Any]) -> LockedCheckout:
    # By position, in the order of `_CHECKOUT`: by name it takes a third of the time of a phase that does little.
    (
        id_,
        cart_id,
        owner,
        reference,
        currency,
        state,
        phase,
        fence,
        straight_through,
        payment_given,
        total_minor,
        hash_,
        lines,
        expires_at,
        pivot_at,
        attempts,
        ending,
        line_count,
        sent_at,
        now,
    ) = row
    return LockedCheckout(
        id=id_,
        cart_id=cart_id,
        owner=owner,
        reference=reference,
        currency=currency,
        state=CheckoutState(state),
        phase=phase,
        fence=fence,
        straight_through=straight_through,
        payment_given=payment_given,
        expected=Expected(total_minor, hash_, lines or {}),
        expires_at=expires_at,
        pivot_at=pivot_at,
        attempts=attempts,
        ending=None if ending is None else CheckoutState(ending),
        line_count=line_count,
        sent_at=sent_at,
        now=now,
    )


def lock_partitioned_tables(connection: Connection, wait_seconds: float) -> None:
    """Lock the partitioned tables against everybody until the transaction ends; wait so long for each at most."""
    connection.execute(text(f"SET LOCAL lock_timeout = {int(wait_seconds * 1000)}"))
    connection.execute(PARTITIONED_TABLES)
