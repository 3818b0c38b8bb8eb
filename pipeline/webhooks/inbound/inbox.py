"""Processes stored webhooks. A webhook is a hint: its content is not applied, the payment is retrieved.

Of a placed order the captured payment is read, with its refunds and disputes.

So neither order nor repetition matters: each webhook causes a retrieval, and the retrieved status is applied.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, assert_never
from uuid import UUID

import structlog
from sqlalchemy import Connection, Row, text

from pipeline.checkouts.events import write_events
from pipeline.checkouts.locks import lock_inbound_webhooks
from pipeline.database import is_transient
from pipeline.database.backoff import back_off_sql
from pipeline.orders.charges import ChargeReader
from pipeline.payments import CallResult
from pipeline.saga import Executor, PaymentPoller
from pipeline.saga.executor import Step
from pipeline.settings import Settings
from pipeline.webhooks.inbound.matching import Match, NotYet, Unrelated, find_fit

log = structlog.get_logger()

#: Longest wait of a webhook that matches no payment yet. Most match within seconds; the others come from other systems
#: on the same account, and may be many: with waits that double up to this, 72 h take some 26 attempts, not 4,300.
FIT_CAP_SECONDS: Final = 6 * 3600

LEASE: Final = text("""
    UPDATE webhook_inbox SET due_at = now() + make_interval(secs => :lease_seconds)
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

# `attempts` is a small integer.
_WAIT: Final = back_off_sql("n.attempts", first_seconds=":retry_seconds", longest_seconds=":cap_seconds")
POSTPONE: Final = text(f"""
    UPDATE webhook_inbox n
    SET attempts = least(n.attempts + 1, 32767), last_error = p.reason,
        due_at = now() + make_interval(secs => {_WAIT})
    FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS p (id, reason)
    WHERE n.id = p.id
""")

SETTLE: Final = text("""
    UPDATE webhook_inbox n
    SET status = :status, last_error = s.reason, due_at = NULL, settled_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS s (id, reason)
    WHERE n.id = s.id
""")


class Inbox:
    """Retrieves the payments of inbound webhooks. A webhook may come twice, late or out of order."""

    def __init__(self, executor: Executor, poller: PaymentPoller, charges: ChargeReader, settings: Settings) -> None:
        """Take what commits and isolates, what polls payments, and what reads those of placed orders."""
        self._executor = executor
        self._poller = poller
        self._charges = charges
        self._settings = settings

    def run(self, ids: Sequence[UUID]) -> None:
        """Process those of these webhooks that are not settled; many about one checkout make one retrieval.

        When the worker crashes, they are due again after the lease.
        """
        matches: dict[UUID, UUID] = {}
        self._executor.run(ids, partial(self._sort, matches), self._fail)
        if matches:
            # Nothing is locked and no transaction is open during the retrieval.
            retrieved = self._retrieve(list(dict.fromkeys(matches.values())))
            self._executor.run(list(matches), partial(self._settle, matches, retrieved), self._fail)

    def _sort(
        self, matches: dict[UUID, UUID], connection: Connection, ids: Sequence[UUID], _answers: Sequence[CallResult]
    ) -> Step[CallResult]:
        """Lease those that match a payment, and postpone or close the others."""
        waiting, unmatched, found = {}, {}, {}
        for row in lock_inbound_webhooks(connection, ids, skip_locked=True):
            fit = find_fit(
                reference=row.reference,
                referring_id=row.referring_id,
                named_id=row.named_id,
                named_reference=row.named_reference,
            )
            match fit:
                case Match():
                    found[row.id] = fit.checkout_id
                case NotYet():
                    waiting[row] = fit.reason
                case Unrelated():
                    unmatched[row.id] = fit.reason
                case _:
                    assert_never(fit)
        if found:
            seconds = self._settings.gateway_lease_seconds
            connection.execute(LEASE, {"ids": list(found), "lease_seconds": seconds})
        _close(connection, "unmatched", unmatched)
        self._postpone(connection, waiting, FIT_CAP_SECONDS)
        matches.update(found)
        return Step()

    def _retrieve(self, checkout_ids: list[UUID]) -> set[UUID]:
        """Retrieve the payments of these checkouts; one that fails is isolated from its batch.

        The poller has nothing to do for a placed order, and the reader of charges for any other checkout.
        """
        try:
            return self._charges.run(sorted(self._poller.run(checkout_ids)))
        except Exception as error:
            if is_transient(error):
                raise
            if len(checkout_ids) == 1:
                log.exception("poll.raised", checkout_id=str(checkout_ids[0]))
                return set()
            log.warning("poll.isolated", checkout_ids=[str(each) for each in checkout_ids], error=repr(error))
            return {retrieved for each in checkout_ids for retrieved in self._retrieve([each])}

    def _settle(
        self,
        matches: Mapping[UUID, UUID],
        retrieved: set[UUID],
        connection: Connection,
        ids: Sequence[UUID],
        _answers: Sequence[CallResult],
    ) -> Step[CallResult]:
        """Settle those with a retrieved payment; the others are retried."""
        rows = lock_inbound_webhooks(connection, ids)
        applied = [row for row in rows if matches[row.id] in retrieved]
        _close(connection, "applied", {row.id: None for row in applied})
        _note_applied(connection, [(matches[row.id], {"event_id": row.event_id, "kind": row.kind}) for row in applied])
        unanswered = {row: "the provider gave no answer" for row in rows if matches[row.id] not in retrieved}
        self._postpone(connection, unanswered, self._settings.retry_cap_seconds)
        return Step()

    def _fail(self, connection: Connection, webhook_id: UUID, error: Exception) -> Step[CallResult]:
        """Count the attempt of a webhook that raised."""
        reason = repr(error)[:1000].replace("\x00", "\ufffd")
        rows = lock_inbound_webhooks(connection, [webhook_id])
        self._postpone(connection, dict.fromkeys(rows, reason), self._settings.retry_cap_seconds)
        return Step()

    def _postpone(self, connection: Connection, reasons: Mapping[Row[Any], str], cap_seconds: float) -> None:
        """Postpone these with exponential back-off; after `inbound_webhook_retry_hours` they end as unmatched."""
        patience = timedelta(hours=self._settings.inbound_webhook_retry_hours)
        over = {row.id: reason for row, reason in reasons.items() if row.now - row.received_at > patience}
        _close(connection, "unmatched", over)
        again = {row.id: reason for row, reason in reasons.items() if row.id not in over}
        if again:
            connection.execute(
                POSTPONE,
                {
                    "ids": list(again),
                    "reasons": list(again.values()),
                    "retry_seconds": self._settings.retry_seconds,
                    "cap_seconds": cap_seconds,
                },
            )


def _close(connection: Connection, status: str, reasons: Mapping[UUID, str | None]) -> None:
    if reasons:
        connection.execute(SETTLE, {"status": status, "ids": list(reasons), "reasons": list(reasons.values())})


def _note_applied(connection: Connection, facts: Sequence[tuple[UUID, Mapping[str, str]]]) -> None:
    """Write one event per webhook: one call writes one event per checkout, so several webhooks need several calls."""
    batches: list[dict[UUID, Mapping[str, str]]] = []
    for checkout_id, fact in facts:
        batch = next((each for each in batches if checkout_id not in each), None)
        if batch is None:
            batch = {}
            batches.append(batch)
        batch[checkout_id] = fact
    for batch in batches:
        write_events(connection, "webhook.applied", list(batch), data=batch)
