"""Figures about placed orders: changes under way and in review, refunds that came back, disputes, what has ended."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from pipeline.checkouts.order_conditions import (
    COUNT_CHANGES_REVIEW,
    COUNT_CHANGES_STUCK,
    COUNT_REFUNDS_RETURNED,
    DISPUTE_OPEN,
    IS_TO_DO,
)

# Each reads a partial index of the rows that it counts.
FIGURES: Final = text(f"""
    SELECT ({COUNT_CHANGES_STUCK}) AS changes_stuck, ({COUNT_CHANGES_REVIEW}) AS changes_need_review,
           ({COUNT_REFUNDS_RETURNED}) AS refunds_returned, count(*) AS changes_to_do,
           CAST(extract(epoch FROM now() - min(c.created_at)) AS float8) AS oldest_seconds
    FROM order_changes c WHERE c.due_at IS NOT NULL AND {IS_TO_DO}
""")

DISPUTED: Final = text(f"""
    SELECT o.currency, count(*) AS disputes, CAST(sum(c.amount_minor) AS bigint) AS minor
    FROM order_changes c JOIN orders o ON o.id = c.order_id WHERE {DISPUTE_OPEN} GROUP BY o.currency ORDER BY o.currency
""")

# A dispute ends as won or lost, any other change as done or failed.
ENDED: Final = text("""
    SELECT kind, CASE WHEN kind = 'dispute' THEN coalesce(outcome ->> 'state', state) ELSE state END AS outcome,
           count(*) AS changes
    FROM order_changes WHERE ended_at > now() - make_interval(secs => :window_seconds) GROUP BY 1, 2 ORDER BY 1, 2
""")


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """Changes of orders: the conditions are those of pipeline/checkouts/order_conditions.py.

    `oldest_seconds` is the age of the oldest change that the workers have to do. `disputed_minor` is by currency, and
    `ended` counts the changes that ended in the window, by kind and outcome.
    """

    changes_to_do: int
    oldest_seconds: float | None
    changes_stuck: int
    changes_need_review: int
    refunds_returned: int
    disputes_open: int
    disputed_minor: Mapping[str, int]
    ended: Mapping[str, Mapping[str, int]]


def read_order_figures(connection: Connection, bound: Mapping[str, Any]) -> OrderFigures:
    """Read the figures; `bound` are the values of the conditions, and the window's seconds."""
    figures = connection.execute(FIGURES, bound).mappings().one()
    disputed = connection.execute(DISPUTED).all()
    ended: dict[str, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(ENDED, bound):
        ended[row.kind][row.outcome] = row.changes
    return OrderFigures(
        disputes_open=sum(row.disputes for row in disputed),
        disputed_minor={row.currency: row.minor for row in disputed},
        ended=dict(ended),
        **figures,
    )
