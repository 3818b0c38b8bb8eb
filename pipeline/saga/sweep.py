"""The delivery guarantee: expires checkouts and redelivers lost messages. SQL and sends, nothing slow.

Safe to run many times at once (SKIP LOCKED, bounded), and without Redis (then it redelivers and counts nothing).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Row, text

from models.states import CheckoutState
from pipeline.checkouts import LockedCheckout, Rejected
from pipeline.checkouts.events import write_events
from pipeline.checkouts.locks import (
    lock_due_charges,
    lock_due_deliveries,
    lock_due_inbound_webhooks,
    lock_due_order_changes,
    lock_expired,
    lock_scheduled,
    lock_stalled,
)
from pipeline.database import TransactionRunner
from pipeline.database.backoff import back_off_sql
from pipeline.errors import Code
from pipeline.messaging import DELIVERIES, RESOLVE, UNWIND, WEBHOOKS, OutgoingMessage, Publisher
from pipeline.messaging.ports import ORDER_CHANGES, Backlog, Head
from pipeline.saga import backward
from pipeline.saga.chain import GatewayPhase, get_chain, next_phase
from pipeline.saga.failure_policy import fail_undo, give_up
from pipeline.saga.retention import delete_expired, record_heartbeat
from pipeline.settings import Settings

log = structlog.get_logger()

# The wait doubles with each attempt, up to 16 times the first, so that a long outage does not end in a flood of
# messages. A message sent after :head still waits in its queue: it is sent again only because it waits so long, which
# costs no attempt.
_STALL: Final = back_off_sql(
    "attempts", first_seconds=":redeliver_after_seconds", longest_seconds="16 * :redeliver_after_seconds"
)
REDELIVER: Final = text(f"""
    UPDATE checkouts
    SET sent_at = now(), due_reason = 'stalled', updated_at = now(),
        attempts = attempts + CASE WHEN CAST(:counted AS boolean)
                                        AND (CAST(:head AS timestamptz) IS NULL OR sent_at < :head) THEN 1 ELSE 0 END,
        due_at = now() + make_interval(secs => {_STALL})
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

# A checkout in the queue for gateway calls stays scheduled: its wait there says nothing about the phase's queue.
REDELIVER_RESOLVE: Final = text("""
    UPDATE checkouts
    SET sent_at = now(), due_at = now() + make_interval(secs => :lease_seconds), updated_at = now()
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

_AGAIN: Final = """
    UPDATE {table} SET due_at = now() + make_interval(secs => :redeliver_after_seconds)
    WHERE id = ANY(CAST(:ids AS uuid[]))
"""
REDELIVER_INBOUND_WEBHOOKS: Final = text(_AGAIN.format(table="webhook_inbox"))
REDELIVER_DELIVERIES: Final = text(_AGAIN.format(table="webhook_deliveries"))

REDELIVER_CHARGES: Final = text("""
    UPDATE payments SET charge_due_at = now() + make_interval(secs => :lease_seconds)
    WHERE checkout_id = ANY(CAST(:ids AS uuid[]))
""")

# One that was sent by a message that has left the queue since, and has not been worked on, costs an attempt.
REDELIVER_ORDER_CHANGES: Final = text(f"""
    UPDATE order_changes
    SET sent_at = now(), due_at = now() + make_interval(secs => {_STALL}), updated_at = now(),
        attempts = attempts + CASE WHEN sent_at IS NOT NULL AND (CAST(:head AS timestamptz) IS NULL OR sent_at < :head)
                                   THEN 1 ELSE 0 END
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")


@dataclass(frozen=True, slots=True)
class Station:
    """A queue and the checkouts that should be in it."""

    queue: str
    state: CheckoutState
    phases: tuple[int, ...]


def list_stations() -> list[Station]:
    """Return a station for each phase, and the unwind's."""
    chain = get_chain()
    phases = [Station(phase.queue, CheckoutState.RUNNING, (phase.number - 1,)) for phase in chain]
    return [*phases, Station(UNWIND, CheckoutState.UNWINDING, tuple(range(len(chain) + 1)))]


@dataclass(frozen=True, slots=True)
class SweepCounts:
    """What one tick did. `redelivered` counts stalled checkouts: 0 in a healthy run.

    `inbound_webhooks` are providers' webhooks to be processed again, `order_changes` changes of orders to be worked on
    again, `deliveries` outbound webhooks that were due, `deleted` rows past their retention,
    `charges` captured payments to be read again.
    """

    expired: int = 0
    scheduled: int = 0
    redelivered: int = 0
    given_up: int = 0
    inbound_webhooks: int = 0
    order_changes: int = 0
    deliveries: int = 0
    deleted: int = 0
    charges: int = 0


@dataclass(frozen=True, slots=True)
class Swept:
    """What one transaction of a tick did, and the messages to send once it has committed."""

    messages: Sequence[OutgoingMessage] = ()
    counts: Counter[str] = field(default_factory=Counter)


def sweep(transactions: TransactionRunner, publisher: Publisher, backlog: Backlog, settings: Settings) -> SweepCounts:
    """Run one tick and return its counts."""
    tick = Tick(settings)
    counts: Counter[str] = Counter()

    def run(work: Callable[[Connection], Swept]) -> None:
        done = transactions.run(work)
        if done.messages:
            publisher.send(done.messages)
        counts.update(done.counts)

    transactions.run(partial(record_heartbeat, cell=settings.cell))
    run(tick.expire)
    counts += Counter(deleted=transactions.run(partial(delete_expired, settings=settings)))
    stations = list_stations()
    heads = backlog.heads([*(station.queue for station in stations), WEBHOOKS, ORDER_CHANGES, DELIVERIES])
    if heads is None:
        log.warning("sweep.blind", **counts)
        return SweepCounts(**counts)
    run(tick.redeliver_scheduled)
    run(partial(tick.redeliver_inbound_webhooks, heads.get(WEBHOOKS)))
    run(tick.read_charges)
    run(partial(tick.redeliver_order_changes, heads.get(ORDER_CHANGES)))
    run(partial(tick.send_deliveries, heads.get(DELIVERIES)))
    for station in stations:
        run(partial(tick.redeliver, station, heads.get(station.queue)))
    if counts:
        log.info("sweep.ran", **counts)
    return SweepCounts(**counts)


@dataclass(frozen=True, slots=True)
class Tick:
    """The transactions of one tick."""

    settings: Settings

    def expire(self, connection: Connection) -> Swept:
        """Expire checkouts without a gateway call in flight."""
        checkouts = lock_expired(connection, self.settings.sweep_limit)
        rejections = {checkout.id: Rejected(Code.EXPIRED) for checkout in checkouts}
        messages = backward.begin(connection, checkouts, rejections, self.settings, ending=CheckoutState.EXPIRED)
        return Swept(messages, counts=+Counter(expired=len(checkouts)))

    def redeliver_scheduled(self, connection: Connection) -> Swept:
        """Redeliver to checkouts whose scheduled time has come: unknown outcomes, expired leases, failed undos."""
        checkouts = lock_scheduled(connection, self.settings.sweep_limit)
        resolving = [checkout.id for checkout in checkouts if queue_for(checkout) == RESOLVE]
        if resolving:
            seconds = self.settings.gateway_lease_seconds
            connection.execute(REDELIVER_RESOLVE, {"ids": resolving, "lease_seconds": seconds})
        others = [checkout for checkout in checkouts if checkout.id not in resolving]
        self._redeliver(connection, others, counted=False)
        messages = [OutgoingMessage(queue_for(checkout), checkout.id, checkout.now) for checkout in checkouts]
        return Swept(messages, counts=+Counter(scheduled=len(checkouts)))

    def redeliver(self, station: Station, head: Head | None, connection: Connection) -> Swept:
        """Redeliver messages that were lost, or whose worker crashed before a commit; give up after the last attempt.

        Queues are first in, first out: a message sent before the oldest waiting one has left the queue. When the head
        of a queue has no sending time, only messages past `redeliver_always_after_seconds` are redelivered.
        """
        unknown_age = datetime.fromtimestamp(0, UTC)
        before = None if head is None else head.sent_at or unknown_age
        checkouts = lock_stalled(
            connection,
            state=station.state,
            phases=list(station.phases),
            head=before,
            waiting=None if head is None else head.waiting,
            redeliver_always_after_seconds=self.settings.redeliver_always_after_seconds,
            limit=self.settings.sweep_limit,
        )
        limit = (
            self.settings.max_undo_attempts if station.state is CheckoutState.UNWINDING else self.settings.max_attempts
        )
        exhausted = [checkout for checkout in checkouts if checkout.attempts >= limit]
        again = [checkout for checkout in checkouts if checkout.attempts < limit]
        self._redeliver(connection, again, counted=True, head=before)
        write_events(connection, "sweep.redelivered", [checkout.id for checkout in again], phase=station.queue)
        messages = [OutgoingMessage(station.queue, checkout.id, checkout.now) for checkout in again]
        for checkout in exhausted:
            messages += self._give_up(connection, checkout)
        return Swept(messages, counts=+Counter(redelivered=len(again), given_up=len(exhausted)))

    def redeliver_inbound_webhooks(self, head: Head | None, connection: Connection) -> Swept:
        """Redeliver inbound webhooks that are due for a retry, or whose message was lost.

        The queue is filled up to `sweep_limit` messages at most: a backlog is never doubled.
        """
        due = lock_due_inbound_webhooks(connection, self._room(head))
        if due:
            connection.execute(REDELIVER_INBOUND_WEBHOOKS, self._name_all(due))
        return Swept(
            [OutgoingMessage(WEBHOOKS, row.id, row.now) for row in due], counts=+Counter(inbound_webhooks=len(due))
        )

    def read_charges(self, connection: Connection) -> Swept:
        """Send the checkouts whose captured payment is to be read again; a lost message is sent again later."""
        due = lock_due_charges(connection, self.settings.sweep_limit)
        if due:
            # Longer than a read that waits in a busy queue: it is not urgent.
            seconds = 10 * self.settings.gateway_lease_seconds
            connection.execute(REDELIVER_CHARGES, {"ids": [row.id for row in due], "lease_seconds": seconds})
        return Swept([OutgoingMessage(RESOLVE, row.id, row.now) for row in due], counts=+Counter(charges=len(due)))

    def redeliver_order_changes(self, head: Head | None, connection: Connection) -> Swept:
        """Redeliver changes of orders that are due: a retry, an expired lease, or a lost message; no backlog grows."""
        due = lock_due_order_changes(connection, self._room(head))
        if due:
            connection.execute(
                REDELIVER_ORDER_CHANGES,
                self._name_all(due)
                | {"head": None if head is None else head.sent_at or datetime.fromtimestamp(0, UTC)},
            )
        messages = [OutgoingMessage(ORDER_CHANGES, row.id, row.now) for row in due]
        return Swept(messages, counts=+Counter(order_changes=len(due)))

    def send_deliveries(self, head: Head | None, connection: Connection) -> Swept:
        """Send outbound webhooks that are due, first or as a retry; no backlog is doubled."""
        due = lock_due_deliveries(connection, self._room(head))
        if due:
            connection.execute(REDELIVER_DELIVERIES, self._name_all(due))
        return Swept(
            [OutgoingMessage(DELIVERIES, row.id, row.now) for row in due], counts=+Counter(deliveries=len(due))
        )

    def _name_all(self, due: Sequence[Row[Any]]) -> dict[str, Any]:
        """Return the values of a statement that makes these rows due again."""
        ids = [row.id for row in due]
        return {"ids": ids, "redeliver_after_seconds": self.settings.redeliver_after_seconds}

    def _room(self, head: Head | None) -> int:
        """Return how many messages a queue takes until it holds `sweep_limit`."""
        return max(0, self.settings.sweep_limit - (0 if head is None else head.waiting))

    def _redeliver(
        self,
        connection: Connection,
        checkouts: Sequence[LockedCheckout],
        *,
        counted: bool,
        head: datetime | None = None,
    ) -> None:
        if checkouts:
            connection.execute(
                REDELIVER,
                {
                    "ids": [checkout.id for checkout in checkouts],
                    "counted": counted,
                    "head": head,
                    "redeliver_after_seconds": self.settings.redeliver_after_seconds,
                },
            )

    def _give_up(self, connection: Connection, checkout: LockedCheckout) -> list[OutgoingMessage]:
        error = "its worker crashed without committing, each time"
        if checkout.state is CheckoutState.UNWINDING:
            fail_undo(connection, checkout, error, self.settings)
            return []
        return give_up(connection, next_phase(checkout.phase), checkout, error, self.settings)


def queue_for(checkout: LockedCheckout) -> str:
    """Return the queue for a checkout that is due; slow gateway calls have their own queue."""
    if checkout.state is CheckoutState.UNWINDING:
        return UNWIND
    if checkout.state is not CheckoutState.RUNNING or isinstance(next_phase(checkout.phase).work, GatewayPhase):
        return RESOLVE
    return next_phase(checkout.phase).queue
