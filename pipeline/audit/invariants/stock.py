"""No oversell, no undersell: levels, reservations and the ledger agree."""

from typing import Final

from pipeline.audit.invariants.detached import IS_ATTACHED
from pipeline.checkouts.conditions import WAS_PLACED
from pipeline.database.invariant import Invariant

STOCK: Final = (
    Invariant(
        "reserved_is_held",
        "At every stock level, reserved is the sum of the reservations that hold it.",
        """
        SELECT variant_id, location_id, s.reserved, h.held
        FROM stock_levels s
        FULL JOIN (SELECT variant_id, location_id, sum(quantity) AS held FROM reservations
                   WHERE state = 'held' GROUP BY variant_id, location_id) h USING (variant_id, location_id)
        WHERE coalesce(s.reserved, 0) <> coalesce(h.held, 0)
        """,
    ),
    Invariant(
        "no_oversell",
        "Reserved is never negative, and never above on hand unless the level may be backordered.",
        """
        SELECT variant_id, location_id, on_hand, reserved FROM stock_levels
        WHERE reserved < 0 OR (reserved > on_hand AND NOT backorderable)
        """,
    ),
    Invariant(
        "stock_is_ledger",
        "On hand and reserved are the sums of the stock ledger.",
        """
        SELECT variant_id, location_id, s.on_hand, l.on_hand AS ledger_on_hand,
               s.reserved, l.reserved AS ledger_reserved
        FROM stock_levels s
        FULL JOIN (SELECT variant_id, location_id,
                          sum(quantity) FILTER (WHERE kind IN ('receive', 'adjust', 'restock', 'sell', 'balance'))
                              AS on_hand,
                          sum(quantity) FILTER (WHERE kind IN ('reserve', 'release', 'sell')) AS reserved
                   FROM stock_movements GROUP BY variant_id, location_id) l USING (variant_id, location_id)
        WHERE coalesce(s.on_hand, 0) <> coalesce(l.on_hand, 0) OR coalesce(s.reserved, 0) <> coalesce(l.reserved, 0)
        """,
    ),
    Invariant(
        "reservations_are_ledger",
        "What a checkout holds and has bought is what the stock ledger says it reserved, released and was sold.",
        f"""
        SELECT checkout_id, variant_id, location_id, r.held, l.held AS ledger_held, r.sold, l.sold AS ledger_sold
        FROM (SELECT checkout_id, variant_id, location_id,
                     sum(quantity) FILTER (WHERE state = 'held') AS held,
                     sum(quantity) FILTER (WHERE state = 'committed') AS sold
              FROM reservations GROUP BY checkout_id, variant_id, location_id) r
        FULL JOIN (SELECT checkout_id, variant_id, location_id, sum(quantity) AS held,
                          -sum(quantity) FILTER (WHERE kind = 'sell') AS sold
                   FROM stock_movements WHERE checkout_id IS NOT NULL GROUP BY checkout_id, variant_id, location_id) l
             USING (checkout_id, variant_id, location_id)
        WHERE (coalesce(r.held, 0) <> coalesce(l.held, 0) OR coalesce(r.sold, 0) <> coalesce(l.sold, 0))
          AND {IS_ATTACHED}
        """,
        by_checkout=True,
    ),
    Invariant(
        "completed_stock_is_sold",
        "A completed checkout bought exactly the units of its order lines and holds no others.",
        f"""
        SELECT checkout_id, variant_id, o.quantity, r.sold, r.unsold
        FROM (SELECT o.checkout_id, n.variant_id, sum(n.quantity) AS quantity
              FROM order_lines n JOIN orders o ON o.id = n.order_id
              WHERE {WAS_PLACED} GROUP BY o.checkout_id, n.variant_id) o
        FULL JOIN (SELECT r.checkout_id, r.variant_id, sum(r.quantity) FILTER (WHERE r.state = 'committed') AS sold,
                          sum(r.quantity) FILTER (WHERE r.state = 'held') AS unsold
                   FROM reservations r JOIN checkouts c ON c.id = r.checkout_id
                   WHERE c.state = 'completed' GROUP BY r.checkout_id, r.variant_id) r USING (checkout_id, variant_id)
        WHERE coalesce(o.quantity, 0) <> coalesce(r.sold, 0) OR r.unsold IS NOT NULL
        """,
        by_checkout=True,
    ),
)
