"""What happens to an order after it was placed: units, stock, coupons, states, times and events of its changes."""

from typing import Final

from pipeline.audit.invariants.detached import IS_ATTACHED
from pipeline.checkouts.order_conditions import CHANGE_STUCK, IS_TO_DO
from pipeline.database.invariant import Invariant

# The event of each end. Those of disputes are one for each of its states.
_END_EVENT: Final = """CASE WHEN c.state = 'failed' AND c.kind IN ('cancel', 'refund') THEN 'order.refund_failed'
                        WHEN c.state = 'failed' THEN 'order.change_failed'
                        ELSE CASE c.kind WHEN 'cancel' THEN 'order.cancelled' WHEN 'refund' THEN 'order.refunded'
                                         WHEN 'restock' THEN 'order.restocked' WHEN 'dispute' THEN 'order.disputed'
                                         ELSE 'order.fulfilled' END END"""

CHANGES: Final = (
    Invariant(
        "changes_are_of_placed_orders",
        "A change is of an order that was placed, of its checkout and its owner.",
        """
        SELECT c.checkout_id, c.id AS change_id, c.owner, o.owner AS order_owner, o.state AS order_state
        FROM order_changes c LEFT JOIN orders o ON o.id = c.order_id AND o.checkout_id = c.checkout_id
        WHERE (o.owner = c.owner AND o.number IS NOT NULL) IS NOT TRUE
        """,
        by_checkout=True,
    ),
    Invariant(
        "changed_units_were_sold",
        "Of a line at most what was ordered is refunded or fulfilled, and at most what was sold at a location is"
        " restocked there, changes that are requested included.",
        """
        SELECT checkout_id, line, n.purpose, location_id, n.quantity, i.quantity AS ordered, r.quantity AS sold
        FROM (SELECT c.order_id, c.checkout_id, l.line, l.purpose, l.location_id, sum(l.quantity) AS quantity
              FROM (SELECT change_id, line, purpose, quantity,
                           CASE WHEN purpose = 'restock' THEN location_id END AS location_id
                    FROM order_change_lines) l
              JOIN order_changes c ON c.id = l.change_id
              WHERE c.state <> 'failed' GROUP BY c.order_id, c.checkout_id, l.line, l.purpose, l.location_id) n
        LEFT JOIN order_lines i USING (order_id, line)
        LEFT JOIN (SELECT checkout_id, line, location_id, sum(quantity) AS quantity FROM reservations
                   WHERE state = 'committed' GROUP BY checkout_id, line, location_id) r
             USING (checkout_id, line, location_id)
        WHERE (n.quantity <= i.quantity AND (n.purpose <> 'restock' OR n.quantity <= r.quantity)) IS NOT TRUE
        """,
        by_checkout=True,
    ),
    Invariant(
        "refunded_lines_add_up",
        "The amounts of the lines of a refund and its part for the delivery are its amount; of a line at most its total"
        " is refunded, and of the delivery its price.",
        """
        SELECT c.checkout_id, c.id AS change_id, NULL AS line, c.amount_minor, l.lines_minor, c.delivery_minor
        FROM order_changes c
        JOIN (SELECT change_id, sum(amount_minor) AS lines_minor FROM order_change_lines WHERE purpose = 'refund'
              GROUP BY change_id) l ON l.change_id = c.id
        WHERE c.kind = 'refund' AND l.lines_minor + c.delivery_minor <> c.amount_minor
        UNION ALL
        SELECT o.checkout_id, NULL, i.line, i.total_minor, n.lines_minor, NULL
        FROM (SELECT c.order_id, l.line, sum(l.amount_minor) AS lines_minor
              FROM order_changes c JOIN order_change_lines l ON l.change_id = c.id
              WHERE c.state <> 'failed' GROUP BY c.order_id, l.line) n
        JOIN orders o ON o.id = n.order_id JOIN order_lines i ON i.order_id = n.order_id AND i.line = n.line
        WHERE n.lines_minor > i.total_minor
        UNION ALL
        SELECT o.checkout_id, NULL, NULL, o.shipping_minor, NULL, sum(c.delivery_minor)
        FROM order_changes c JOIN orders o ON o.id = c.order_id WHERE c.state <> 'failed'
        GROUP BY o.checkout_id, o.shipping_minor HAVING sum(c.delivery_minor) > o.shipping_minor
        """,
        by_checkout=True,
    ),
    Invariant(
        "restocks_are_ledger",
        "A restock or cancel that is done has its units in the stock ledger exactly once, and no other change has any.",
        # A cancel whose refund came back stays restocked while it waits for a person, or is refunded again.
        """
        SELECT c.checkout_id, change_id, c.kind, c.state, variant_id, location_id, l.quantity, m.quantity AS ledger
        FROM (SELECT l.change_id, i.variant_id, l.location_id, sum(l.quantity) AS quantity
              FROM order_change_lines l JOIN order_changes h ON h.id = l.change_id
              JOIN order_lines i ON i.order_id = h.order_id AND i.line = l.line
              WHERE l.purpose = 'restock' GROUP BY l.change_id, i.variant_id, l.location_id) l
        FULL JOIN (SELECT change_id, variant_id, location_id, sum(quantity) AS quantity FROM stock_movements
                   WHERE checkout_id IS NULL AND kind = 'restock' GROUP BY change_id, variant_id, location_id) m
             USING (change_id, variant_id, location_id)
        LEFT JOIN order_changes c ON c.id = change_id
        WHERE CASE WHEN c.id IS NULL OR c.kind NOT IN ('cancel', 'restock') THEN true
                   WHEN c.state = 'done' THEN l.quantity IS DISTINCT FROM m.quantity
                   WHEN c.state IN ('needs_review', 'running') AND c.kind = 'cancel'
                        THEN coalesce(m.quantity <> l.quantity, m.quantity IS NOT NULL)
                   ELSE m.quantity IS NOT NULL END
        """,
        # A movement of a restock is of a change, which names its checkout: in a range it would be one of no change.
    ),
    Invariant(
        "cancelled_order_has_its_cancel",
        "A cancelled order with a number has one cancel, which was done, and a cancel that is done has cancelled its"
        " order; nothing of it is fulfilled.",
        # One whose refund came back is not done any more.
        """
        SELECT o.checkout_id, o.id AS order_id, o.state AS order_state, h.state AS cancel_state, f.quantity AS fulfilled
        FROM orders o
        LEFT JOIN (SELECT order_id, max(state) AS state FROM order_changes
                   WHERE kind = 'cancel' AND state <> 'failed' GROUP BY order_id) h ON h.order_id = o.id
        LEFT JOIN (SELECT c.order_id, sum(l.quantity) AS quantity
                   FROM order_changes c JOIN order_change_lines l ON l.change_id = c.id
                   WHERE l.purpose = 'fulfillment' AND c.state <> 'failed' GROUP BY c.order_id) f ON f.order_id = o.id
        WHERE o.number IS NOT NULL
          AND CASE WHEN o.state = 'cancelled' THEN coalesce(h.state, 'requested') = 'requested' OR f.quantity > 0
                   ELSE h.state = 'done' END
        """,
        by_checkout=True,
    ),
    Invariant(
        "cancel_returns_coupons",
        "An order whose cancel returned its coupon uses has none left.",
        """
        SELECT c.checkout_id, c.id AS change_id, r.code
        FROM order_changes c JOIN redemptions r ON r.checkout_id = c.checkout_id
        WHERE c.kind = 'cancel' AND c.state = 'done' AND c.outcome ->> 'coupons_returned' = 'true'
          AND r.returned_at IS NULL
        """,
        by_checkout=True,
    ),
    Invariant(
        "changes_to_do_have_a_due_time",
        "A change that the workers have to do has a time at which the sweep checks it.",
        f"""
        SELECT c.checkout_id, c.id AS change_id, c.kind, c.state FROM order_changes c
        WHERE {IS_TO_DO} AND c.due_at IS NULL
        """,
        by_checkout=True,
    ),
    Invariant(
        "no_change_is_overdue",
        "No change is past its due time by more than the sweep's bound, unless its message waits in a queue.",
        f"""
        SELECT c.checkout_id, c.id AS change_id, c.kind, c.state, c.due_at,
               round(extract(epoch FROM now() - c.due_at)) AS late_seconds
        FROM order_changes c WHERE {CHANGE_STUCK} AND c.id <> ALL (CAST(:queued AS uuid[]))
        """,
        by_checkout=True,
    ),
    Invariant(
        "changes_are_done_in_order",
        "No change of an order is worked on while an earlier one has not been begun.",
        # Disputes block no other change, and what was done at the provider has been done. Ids have the clock of the
        # process that made them: the database's clock decides as well.
        """
        SELECT later.checkout_id, earlier.id AS earlier_id, later.id AS later_id, later.kind, later.state
        FROM order_changes earlier JOIN order_changes later ON later.order_id = earlier.order_id
             AND later.id > earlier.id AND later.created_at > earlier.created_at
        WHERE earlier.state = 'requested' AND earlier.kind <> 'dispute'
          AND later.state IN ('running', 'done') AND later.actor <> 'provider'
        """,
        by_checkout=True,
    ),
    Invariant(
        "one_event_of_each_end",
        "The end of a change is one event of its order; one that was reopened ends again, and a dispute may end twice.",
        f"""
        SELECT checkout_id, change_id, h.kind, h.state, h.event, coalesce(e.events, 0) AS events
        FROM (SELECT c.checkout_id, c.id AS change_id, c.kind, c.state, {_END_EVENT} AS event,
                     1 + (SELECT count(*) FROM refunds r WHERE r.change_id = c.id AND r.status = 'returned') AS ends
              FROM order_changes c WHERE c.state IN ('done', 'failed')) h
        LEFT JOIN (SELECT checkout_id, CAST(data ->> 'change_id' AS uuid) AS change_id, kind AS event,
                          count(*) AS events
                   FROM events WHERE kind LIKE 'order.%' AND data ->> 'change_id' IS NOT NULL GROUP BY 1, 2, 3) e
             USING (checkout_id, change_id, event)
        WHERE {IS_ATTACHED}
          AND (e.events IS NULL OR e.events > h.ends AND h.kind <> 'dispute')
        """,
        by_checkout=True,
    ),
)
