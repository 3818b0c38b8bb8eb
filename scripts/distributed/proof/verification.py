"""Compares the database with what buyers and writers were told; the audit and the reconciler run over it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from pipeline.audit import take_report
from scripts.distributed.cluster import Cluster
from scripts.distributed.proof.buyers import Purchase
from scripts.distributed.proof.commits import Writer, count_lost
from scripts.environments.command_errors import CommandError
from scripts.environments.reconcile_run import compare_with_provider
from scripts.terminal.output import Screen

#: After the last answer every checkout must end in this time. One that does not is stuck.
END_SECONDS: Final = 60.0
#: The reconciler reads the bank so far back.
HOURS: Final = 24.0

LEFT: Final = text("SELECT count(*) FROM checkouts WHERE ended_at IS NULL")
ORDERS: Final = text("""
    SELECT checkout_id, count(*) AS orders FROM orders
    WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND state <> 'cancelled' GROUP BY checkout_id
""")
KEYS: Final = text("SELECT key, checkout_id FROM idempotency_keys WHERE key = ANY(:keys)")
#: More than one order of a cart, or more than one payment captured for a checkout.
DOUBLED: Final = text("""
    SELECT (SELECT count(*) FROM (SELECT 1 FROM orders WHERE state <> 'cancelled'
                                  GROUP BY cart_id HAVING count(*) > 1) AS carts)
""")
UNORDERED: Final = text("""
    SELECT count(*) FROM checkouts c
    WHERE c.state = 'completed' AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.checkout_id = c.id)
""")
REDELIVERED: Final = text("SELECT count(*) FROM events WHERE kind = 'sweep.redelivered'")


@dataclass
class Verdict:
    """What is wrong; nothing is when all counts are 0 and no sentence is there."""

    orders_lost: int = 0
    orders_doubled: int = 0
    stuck: int = 0
    commits_lost: int = 0
    violations: list[str] = field(default_factory=list)

    def list_objections(self) -> list[str]:
        """Return one sentence for each thing that is wrong."""
        counts = {
            "acknowledged orders are lost": self.orders_lost,
            "orders are doubled": self.orders_doubled,
            "checkouts are stuck": self.stuck,
            "acknowledged commits are lost": self.commits_lost,
        }
        return [*(f"{count} {what}" for what, count in counts.items() if count), *self.violations]


def verify(
    cluster: Cluster, purchases: Sequence[Purchase], unanswered: Sequence[str], writers: Sequence[Writer]
) -> Verdict:
    """Check everything. No purchase may be under way, and the caller is inside the buyers' namespace."""
    verdict = Verdict(commits_lost=count_lost(list(writers)))
    verdict.violations += [f"a purchase had no answer: {each}" for each in unanswered]
    with suppress(CommandError):
        cluster.wait(lambda: _count_left(cluster) == 0, "checkouts are under way", END_SECONDS)
    with cluster.engine.connect() as connection:
        verdict.stuck = connection.execute(LEFT).scalar_one()
        verdict.orders_doubled = connection.execute(DOUBLED).scalar_one()
        verdict.orders_lost = connection.execute(UNORDERED).scalar_one()
        _check_purchases(connection, purchases, verdict)
    with cluster.engine.connect() as connection:
        found = take_report(connection, cluster.settings).violations
    verdict.violations += [f"{each.invariant}: {each.meaning} ({each.count} rows)" for each in found]
    audit = compare_with_provider(
        cluster.settings, HOURS, repair=False, notes=Screen(stderr=True, quiet=True), report_repair=lambda _: None
    )
    if audit.error is not None:
        verdict.violations.append(f"the bank could not be read: {audit.error}")
    elif audit.comparison is not None:
        verdict.violations += [f"the bank differs: {each}" for each in audit.comparison.differences]
    return verdict


def count_redelivered(cluster: Cluster) -> int:
    """Return how many messages the sweep has sent again so far."""
    with cluster.engine.connect() as connection:
        count: int = connection.execute(REDELIVERED).scalar_one()
        return count


def _check_purchases(connection: Connection, purchases: Sequence[Purchase], verdict: Verdict) -> None:
    completed = [each for each in purchases if each.state == "completed"]
    orders: dict[UUID, int] = dict(
        connection.execute(ORDERS, {"ids": [UUID(each.checkout_id) for each in completed]}).tuples().all()
    )
    keys: dict[str, UUID] = dict(connection.execute(KEYS, {"keys": [each.key for each in purchases]}).tuples().all())
    for each in completed:
        count = orders.get(UUID(each.checkout_id), 0)
        verdict.orders_lost += count == 0
        verdict.orders_doubled += count > 1
    verdict.violations += [
        f"{each.key} was answered with {each.checkout_id}, the database has {keys.get(each.key)}"
        for each in purchases
        if str(keys.get(each.key)) != each.checkout_id
    ]
    # Every card is good and there is enough of everything: no fault may end a purchase.
    verdict.violations += [
        f"{each.checkout_id} was answered with {each.state}" for each in purchases if each.state != "completed"
    ]


def _count_left(cluster: Cluster) -> int | None:
    with suppress(DBAPIError), cluster.engine.connect() as connection:
        count: int = connection.execute(LEFT).scalar_one()
        return count
    return None
