"""Compares what clients were answered about changes of orders with the database and with the bank."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import ChangeKind
from scripts.faults.after_sales import ChangeHistory
from scripts.faults.place import OWNER

#: Violations that are reported one by one.
EXAMPLES: Final = 3
#: A run without these has proven little about orders.
NEEDED: Final = (ChangeKind.CANCEL, ChangeKind.REFUND, ChangeKind.RESTOCK, ChangeKind.FULFILLMENT)

STATES: Final = text("SELECT kind || ' ' || state AS standing, count(*) AS changes FROM order_changes GROUP BY 1")
KNOWN: Final = text("""
    SELECT idempotency_key AS key, id, state FROM order_changes WHERE owner = :owner AND idempotency_key IS NOT NULL
""")
#: Changes that the workers should have ended, and disputes that the bank has decided.
STUCK: Final = text("""
    SELECT count(*) FROM order_changes c
    WHERE c.state IN ('requested', 'running')
      AND (c.kind <> 'dispute' OR EXISTS (SELECT FROM sandbox.disputes d
                                          WHERE d.reference = c.reference AND d.state <> 'open'))
""")
#: A person is needed only where the bank cannot tell.
REVIEWS: Final = text("""
    SELECT count(*) FROM order_changes c
    WHERE c.state = 'needs_review'
      AND NOT EXISTS (SELECT FROM refunds r WHERE r.change_id = c.id AND r.code = 'cannot_tell')
""")

#: What the provider was seen to have done by itself.
ADOPTED: Final = text("""
    SELECT r.reference FROM refunds r JOIN order_changes c ON c.id = r.change_id
    WHERE c.actor = 'provider' AND c.kind = 'refund' AND c.state = 'done'
""")
DECIDED: Final = text("SELECT reference, outcome ->> 'state' AS state FROM order_changes WHERE kind = 'dispute'")

# Each row is a violation.
AT_BANK: Final[Mapping[str, str]] = {
    "a change that is done was refunded once at the bank, with its amount, and one that failed was not": """
        SELECT c.id, c.kind, c.state, c.amount_minor, b.minor AS bank_minor, b.refunds
        FROM order_changes c
        LEFT JOIN (SELECT r.change_id, CAST(sum(s.amount_minor) AS bigint) AS minor, count(*) AS refunds
                   FROM refunds r JOIN sandbox.refunds s
                        ON s.reference = r.reference OR r.reference IS NULL AND s.operation_id = r.idempotency_key
                   WHERE s.state <> 'failed' GROUP BY r.change_id) b ON b.change_id = c.id
        WHERE c.kind IN ('cancel', 'refund') AND c.state IN ('done', 'failed')
          AND (coalesce(b.minor, 0), coalesce(b.refunds, 0))
              <> CASE WHEN c.state = 'done' AND c.amount_minor > 0 THEN (c.amount_minor, CAST(1 AS bigint))
                      ELSE (CAST(0 AS bigint), CAST(0 AS bigint)) END
    """,
    "a refund at the bank is one that the engine knows, by its own key or as one of the dashboard": """
        SELECT s.reference, s.operation_id, s.amount_minor, r.idempotency_key
        FROM sandbox.refunds s LEFT JOIN refunds r ON r.reference = s.reference
        WHERE r.id IS NULL OR r.amount_minor <> s.amount_minor OR r.idempotency_key IS DISTINCT FROM s.operation_id
    """,
    "what the bank has refunded of an order is the sum of its changes": """
        SELECT o.number, p.refunded_minor AS bank_minor, coalesce(c.minor, 0) AS changes_minor
        FROM orders o JOIN payments e ON e.checkout_id = o.checkout_id
        JOIN sandbox.payments p ON p.reference = e.reference
        LEFT JOIN (SELECT order_id, sum(amount_minor) AS minor FROM order_changes
                   WHERE kind IN ('cancel', 'refund') AND state = 'done' GROUP BY order_id) c ON c.order_id = o.id
        WHERE o.number IS NOT NULL AND p.refunded_minor <> coalesce(c.minor, 0)
    """,
    "a dispute at the bank is one change, with its state": """
        SELECT d.reference, d.state, c.state AS change_state, c.outcome
        FROM sandbox.disputes d LEFT JOIN order_changes c ON c.reference = d.reference AND c.kind = 'dispute'
        WHERE c.outcome ->> 'state' IS DISTINCT FROM d.state OR c.amount_minor <> d.amount_minor
    """,
    "a change that failed says why": """
        SELECT id, kind, outcome FROM order_changes WHERE state = 'failed' AND outcome ->> 'code' IS NULL
    """,
}


@dataclass
class OrderVerdict:
    """What became of the changes of orders.

    `asked` counts idempotency keys, `refused` those without a change; `mismatched` keys that were answered with another
    change than the database has; `at_bank` what does not agree with the bank.
    """

    asked: int = 0
    refused: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    dashboard_refunds: int = 0
    disputes: int = 0
    lost: int = 0
    stuck: int = 0
    needs_review: int = 0
    mismatched: int = 0
    gave_up: int = 0
    at_bank: int = 0
    violations: list[str] = field(default_factory=list)

    def list_objections(self) -> list[str]:
        """Return what is wrong, and what has not been shown."""
        counts = {name: getattr(self, name) for name in ("lost", "stuck", "needs_review", "gave_up")}
        found = [f"{count} changes of orders: {name.replace('_', ' ')}" for name, count in counts.items() if count]
        missing = [kind for kind in NEEDED if not self.states.get(f"{kind} done")]
        return [*self.violations, *found, *(f"no {kind} was done: the run proves little" for kind in missing)]


def verify_changes(connection: Connection, history: ChangeHistory) -> OrderVerdict:
    """Compare the history of all requests with the changes in the database, and these with the bank."""
    verdict = OrderVerdict(
        asked=len(history.accepted.keys() | history.refused.keys()),
        refused=len(history.refused.keys() - history.accepted.keys()),
        states={row.standing: row.changes for row in connection.execute(STATES)},
        dashboard_refunds=len(history.dashboard_refunds),
        disputes=len(history.disputes),
        stuck=connection.execute(STUCK).scalar_one(),
        needs_review=connection.execute(REVIEWS).scalar_one(),
        gave_up=len(history.gave_up),
    )
    known = {row.key: row for row in connection.execute(KNOWN, {"owner": OWNER})}
    _compare(history, {key: row.id for key, row in known.items()}, verdict)
    for first, second in history.races:
        made = [key for key in (first, second) if key in known and known[key].state != "failed"]
        if len(made) != 1 and not {first, second} & set(history.gave_up):
            verdict.violations.append(f"of {first} and {second}, which wanted the same, {len(made)} were carried out")
    adopted = set(connection.scalars(ADOPTED))
    verdict.violations += [
        f"the dashboard has refunded {each}, and the database has no such change of the provider"
        for each in history.dashboard_refunds
        if each not in adopted
    ]
    decided = {row.reference: row.state for row in connection.execute(DECIDED)}
    verdict.violations += [
        f"the bank has decided {reference} as {state}, the database has {decided.get(reference)}"
        for reference, state in history.disputes.items()
        if decided.get(reference) != state
    ]
    for meaning, query in AT_BANK.items():
        rows = connection.execute(text(query)).all()
        verdict.at_bank += len(rows)
        verdict.violations += [f"not so: {meaning}: {row}" for row in rows[:EXAMPLES]]
    return verdict


def _compare(history: ChangeHistory, known: Mapping[str, UUID], verdict: OrderVerdict) -> None:
    ids = set(known.values())
    verdict.lost = sum(len(found - ids) for found in history.accepted.values())
    for key, found in history.accepted.items():
        if {known.get(key)} != found:
            verdict.mismatched += 1
            answered = ", ".join(sorted(map(str, found)))
            verdict.violations.append(f"{key} was answered with {answered}, the database has {known.get(key)}")
    for key in sorted(history.refused.keys() - history.accepted.keys()):
        if key in known:
            verdict.mismatched += 1
            verdict.violations.append(f"{key} was refused ({history.refused[key]}), the database has {known[key]}")
    asked = history.accepted.keys() | history.refused.keys() | set(history.gave_up)
    verdict.violations += [f"nobody was answered about {key}" for key in sorted(known.keys() - asked)[:EXAMPLES]]
