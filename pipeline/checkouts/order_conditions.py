"""To do, stuck, in review, returned, disputed: one definition each, as SQL over `order_changes` and `refunds`.

The audit's invariants, health, diagnostics, statistics and metrics all use these. `bind_conditions` of
pipeline/checkouts/conditions.py returns the values that they bind.
"""

from typing import Final

#: To do: a change `c` that the workers have to finish. A dispute is the buyer's bank's.
IS_TO_DO: Final = "(c.state IN ('requested', 'running') AND c.kind <> 'dispute')"
#: Stuck: a change `c` that is overdue by more than the sweep's bound. The second condition is that of an index.
CHANGE_STUCK: Final = f"""({IS_TO_DO} AND c.due_at IS NOT NULL
        AND c.due_at < now() - make_interval(secs => :bound_seconds))"""
_HAS_RETURNED: Final = "EXISTS (SELECT FROM refunds r WHERE r.change_id = c.id AND r.status = 'returned')"
#: Needs review: a change `c` of which only a person can say what happened. Returned refunds are counted apart.
CHANGE_NEEDS_REVIEW: Final = f"(c.state = 'needs_review' AND NOT {_HAS_RETURNED})"
#: Returned: a change `c` in review whose refund the provider had accepted, and that failed later. The buyer waits.
REFUND_RETURNED: Final = f"(c.state = 'needs_review' AND {_HAS_RETURNED})"
#: Open: a dispute `c` that the buyer's bank has not decided. The conditions are those of an index.
DISPUTE_OPEN: Final = "(c.kind = 'dispute' AND c.state = 'running')"

COUNT_CHANGES_STUCK: Final = f"SELECT count(*) FROM order_changes c WHERE {CHANGE_STUCK}"
COUNT_CHANGES_REVIEW: Final = f"SELECT count(*) FROM order_changes c WHERE {CHANGE_NEEDS_REVIEW}"
COUNT_REFUNDS_RETURNED: Final = f"SELECT count(*) FROM order_changes c WHERE {REFUND_RETURNED}"
COUNT_DISPUTES_OPEN: Final = f"SELECT count(*) FROM order_changes c WHERE {DISPUTE_OPEN}"
