"""A cart has at most one order, and the order is what was frozen."""

from typing import Final

from pipeline.checkouts.conditions import WAS_PLACED
from pipeline.database.invariant import Invariant

ORDERS: Final = (
    Invariant(
        "one_active_checkout",
        "A cart has at most one active checkout.",
        """
        SELECT cart_id, count(*) AS active, array_agg(id) AS checkout_ids FROM checkouts
        WHERE ended_at IS NULL GROUP BY cart_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "one_order",
        "A cart has at most one order that is not cancelled, and so has a checkout.",
        """
        SELECT 'cart' AS of, cart_id AS id, count(*) AS orders FROM orders
        WHERE state <> 'cancelled' GROUP BY cart_id HAVING count(*) > 1
        UNION ALL
        SELECT 'checkout', checkout_id, count(*) FROM orders
        WHERE state <> 'cancelled' GROUP BY checkout_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "cart_completed_when_bought",
        "The cart of a completed checkout is completed, and a cart without a completed checkout is open.",
        """
        SELECT k.id AS cart_id, k.state AS cart_state, count(*) FILTER (WHERE c.state = 'completed') AS completed
        FROM carts k JOIN checkouts c ON c.cart_id = k.id WHERE c.ended_at IS NOT NULL
        GROUP BY k.id, k.state
        HAVING (k.state = 'completed') <> (count(*) FILTER (WHERE c.state = 'completed') > 0)
        """,
    ),
    Invariant(
        "completed_is_placed",
        "A completed checkout has one order that was placed, with a number and of its own cart; no other checkout has"
        " one.",
        f"""
        SELECT checkout_id, c.state AS checkout_state, o.orders, o.numbers
        FROM (SELECT id AS checkout_id, cart_id, state FROM checkouts WHERE state = 'completed') c
        FULL JOIN (SELECT checkout_id, min(cart_id::text) AS cart, count(*) AS orders, count(number) AS numbers
                   FROM orders o WHERE {WAS_PLACED} GROUP BY checkout_id) o USING (checkout_id)
        WHERE c.state IS NULL OR (o.orders = 1 AND o.numbers = 1 AND o.cart = c.cart_id::text) IS NOT TRUE
        """,
        by_checkout=True,
    ),
    Invariant(
        "lines_keep_their_variant",
        "Each line of a checkout is held and frozen as the variant that it was resolved to; what is frozen is held.",
        """
        SELECT checkout_id, line, r.variant_id AS resolved, h.variant_ids AS held, l.variant_id AS frozen
        FROM checkout_lines r
        FULL JOIN price_lock_lines l USING (checkout_id, line)
        LEFT JOIN (SELECT checkout_id, line, array_agg(DISTINCT variant_id) AS variant_ids
                   FROM reservations GROUP BY checkout_id, line) h USING (checkout_id, line)
        LEFT JOIN price_locks p USING (checkout_id)
        -- Of checkouts from before lines were resolved, what is held is compared with what is frozen.
        LEFT JOIN (SELECT DISTINCT checkout_id, true AS here FROM checkout_lines) known USING (checkout_id)
        WHERE h.variant_ids <> ARRAY[coalesce(r.variant_id, l.variant_id)]
           OR (known.here AND p.checkout_id IS NOT NULL
               AND (r.variant_id IS DISTINCT FROM l.variant_id OR h.variant_ids IS NULL))
        """,
        by_checkout=True,
    ),
    Invariant(
        "order_lines_are_locked_lines",
        "The lines of an order are the lines of its price lock, to the unit and the minor unit.",
        """
        SELECT checkout_id, line, o.sku, l.sku AS locked_sku, o.quantity, l.quantity AS locked_quantity,
               o.total_minor, l.total_minor AS locked_total_minor
        FROM (SELECT d.checkout_id, n.* FROM order_lines n JOIN orders d ON d.id = n.order_id) o
        FULL JOIN (SELECT n.* FROM price_lock_lines n JOIN orders d USING (checkout_id)) l USING (checkout_id, line)
        WHERE (o.variant_id, o.sku, o.title, o.quantity, o.unit_price_minor, o.tax_included, o.subtotal_minor,
               o.discount_minor, o.tax_minor, o.total_minor, o.discounts, o.taxes)
              IS DISTINCT FROM (l.variant_id, l.sku, l.title, l.quantity, l.unit_price_minor, l.tax_included,
                                l.subtotal_minor, l.discount_minor, l.tax_minor, l.total_minor, l.discounts, l.taxes)
        """,
        by_checkout=True,
    ),
    Invariant(
        "order_total_is_locked_total",
        "The amounts and addresses of an order are the frozen ones, in their currency, and the sums of its lines and of"
        " shipping; the price lock of an order that was placed is in force.",
        f"""
        SELECT o.checkout_id, o.total_minor, o.currency, p.total_minor AS locked_minor, p.currency AS locked_currency,
               coalesce(n.lines_minor, 0) AS lines_minor, p.voided_at
        FROM orders o LEFT JOIN price_locks p USING (checkout_id)
        LEFT JOIN (SELECT order_id, sum(total_minor) AS lines_minor, sum(subtotal_minor) AS subtotal_minor,
                          sum(tax_minor) AS tax_minor
                   FROM order_lines GROUP BY order_id) n
             ON n.order_id = o.id
        WHERE (o.total_minor = p.total_minor AND o.currency = p.currency
               AND (o.subtotal_minor, o.discount_minor, o.shipping_minor, o.tax_minor)
                   = (p.subtotal_minor, p.discount_minor, p.shipping_minor, p.tax_minor)
               AND (o.shipping, o.shipping_address, o.billing_address)
                   IS NOT DISTINCT FROM (p.shipping, p.shipping_address, p.billing_address)
               AND o.shipping_minor = coalesce(CAST(o.shipping ->> 'total_minor' AS bigint), 0)
               AND o.total_minor = coalesce(n.lines_minor, 0) + o.shipping_minor
               AND o.subtotal_minor = coalesce(n.subtotal_minor, 0)
               AND o.tax_minor = coalesce(n.tax_minor, 0) + coalesce(CAST(o.shipping ->> 'tax_minor' AS bigint), 0)
               AND (NOT {WAS_PLACED} OR p.voided_at IS NULL)) IS NOT TRUE
        """,
        by_checkout=True,
    ),
)
