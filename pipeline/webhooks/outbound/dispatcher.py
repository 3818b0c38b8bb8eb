"""Delivers events to endpoints: at least once, with exponential back-off, signed as Standard Webhooks."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Row, text

from pipeline.checkouts.locks import lock_deliveries
from pipeline.database import TransactionRunner, assert_no_transaction
from pipeline.database.backoff import back_off
from pipeline.settings import Settings
from pipeline.webhooks.outbound.endpoint_response import EndpointResponse
from pipeline.webhooks.outbound.url_policy import Resolve, read_networks, resolve_host

log = structlog.get_logger()

#: First and longest wait after a failure; it doubles. An endpoint that is down for a minute is not called twenty times,
#: and one that is down for a day gets its deliveries within hours.
FIRST_WAIT_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 6 * 3600.0

LEASE: Final = text("""
    UPDATE webhook_deliveries SET due_at = now() + make_interval(secs => :seconds)
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

# A delivery that was settled meanwhile (removed, or replayed and delivered) does not change. `gone` ends all attempts.
RECORD: Final = text("""
    UPDATE webhook_deliveries d
    SET attempts = least(d.attempts + r.counted, 32767), last_status = r.status, last_error = r.error,
        status = r.outcome, ended_at = CASE WHEN r.outcome <> 'pending' THEN now() END,
        due_at = CASE WHEN r.outcome = 'pending' THEN now() + make_interval(secs => r.wait) END
    FROM (SELECT g.*, CASE WHEN g.delivered THEN 'delivered'
                           WHEN g.gone OR n.created_at < now() - make_interval(hours => :hours) THEN 'dead_lettered'
                           ELSE 'pending' END AS outcome
          FROM unnest(CAST(:ids AS uuid[]), CAST(:delivered AS boolean[]), CAST(:gone AS boolean[]),
                      CAST(:counted AS integer[]), CAST(:statuses AS smallint[]), CAST(:errors AS text[]),
                      CAST(:waits AS double precision[])) AS g (id, delivered, gone, counted, status, error, wait)
          JOIN webhook_deliveries n ON n.id = g.id) r
    WHERE d.id = r.id AND d.status = 'pending'
""")


@dataclass(frozen=True, slots=True)
class LeasedDelivery:
    """One leased delivery, with everything that its call needs."""

    id: UUID
    endpoint_id: UUID
    url: str
    secret: str
    event_id: str
    body: str
    attempts: int


class Dispatcher:
    """Makes deliveries. A message may come twice or late; after a crash, deliveries are due again when leases end."""

    def __init__(self, transactions: TransactionRunner, settings: Settings, *, resolve: Resolve = resolve_host) -> None:
        """Take the transaction runner; `resolve` returns the addresses of a host."""
        self._transactions = transactions
        self._settings = settings
        self._resolve = resolve
        self._networks = read_networks(settings.outbound_webhook_private_networks)
        self._threads = ThreadPoolExecutor(settings.outbound_webhook_concurrency, thread_name_prefix="delivery")

    def run(self, ids: Sequence[UUID]) -> None:
        """Make those of these deliveries that are due and not leased."""
        leased = self._lease(ids)
        assert_no_transaction()
        silent = Silent()
        responses = self._threads.map(lambda each: self._deliver(each, silent), leased)
        results = list(zip(leased, responses, strict=True))
        if results:
            self._transactions.run(lambda connection: self._record(connection, results))
            delivered = sum(response.delivered for _, response in results)
            log.info("deliveries.made", delivered=delivered, failed=len(results) - delivered)

    def close(self) -> None:
        """Wait for the calls in flight and end the threads."""
        self._threads.shutdown()

    def _lease(self, ids: Sequence[UUID]) -> list[LeasedDelivery]:
        def work(connection: Connection) -> list[LeasedDelivery]:
            settings = self._settings
            rows = lock_deliveries(connection, ids, settings.redeliver_after_seconds)
            leased = _read_deliveries(connection, rows)
            # The time for all calls of a batch on the threads there are, and for recording the results.
            rounds = -(-len(leased) // settings.outbound_webhook_concurrency) + 1
            seconds = rounds * settings.outbound_webhook_timeout_seconds + 2 * settings.redeliver_after_seconds
            connection.execute(LEASE, {"ids": [each.id for each in leased], "seconds": seconds})
            return leased

        return self._transactions.run(work)

    def _deliver(self, each: LeasedDelivery, silent: "Silent") -> EndpointResponse:
        """Call one endpoint; after a call without a response it is not called again in this run."""
        from pipeline.webhooks.outbound.http_client import post  # noqa: PLC0415 (30 modules; most workers deliver none)

        if silent.has(each.endpoint_id):
            return EndpointResponse(error="the endpoint did not answer another one just now", counted=False)
        response = post(
            each.url,
            each.body,
            secret=each.secret,
            event_id=each.event_id,
            networks=self._networks,
            resolve=self._resolve,
            timeout_seconds=self._settings.outbound_webhook_timeout_seconds,
        )
        if response.status is None:
            silent.add(each.endpoint_id)
            log.warning("delivery.unanswered", delivery_id=str(each.id), error=response.error)
        return response

    def _record(self, connection: Connection, results: Sequence[tuple[LeasedDelivery, EndpointResponse]]) -> None:
        connection.execute(
            RECORD,
            {
                "ids": [each.id for each, _ in results],
                "delivered": [response.delivered for _, response in results],
                "gone": [response.gone for _, response in results],
                "counted": [int(response.counted) for _, response in results],
                "statuses": [response.status for _, response in results],
                "errors": [response.error for _, response in results],
                "waits": [wait_seconds(each.attempts) for each, _ in results],
                "hours": self._settings.outbound_webhook_hours,
            },
        )


class Silent:
    """The endpoints without a response in this run. Shared by its threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ids: set[UUID] = set()
        self._lock = Lock()

    def has(self, endpoint_id: UUID) -> bool:
        """Return whether this endpoint gave no response."""
        with self._lock:
            return endpoint_id in self._ids

    def add(self, endpoint_id: UUID) -> None:
        """Add an endpoint."""
        with self._lock:
            self._ids.add(endpoint_id)


def wait_seconds(attempts: int) -> float:
    """Return how long to wait after one more failure, spread by a fifth so that many are not due at once."""
    wait = back_off(attempts, first_seconds=FIRST_WAIT_SECONDS, longest_seconds=LONGEST_WAIT_SECONDS)
    return wait * (0.9 + 0.2 * random.random())  # noqa: S311 (spreads calls, guards nothing)


def _read_deliveries(connection: Connection, rows: Sequence[Row[Any]]) -> list[LeasedDelivery]:
    from pipeline.webhooks.outbound.order_parts import load_lines  # noqa: PLC0415 (models; most workers deliver none)
    from pipeline.webhooks.outbound.payloads import ABOUT_ORDERS, write_body  # noqa: PLC0415 (the same)

    lines = load_lines(connection, [row.order_id for row in rows if row.kind in ABOUT_ORDERS])
    return [
        LeasedDelivery(
            id=row.id,
            endpoint_id=row.endpoint_id,
            url=row.url,
            secret=row.secret,
            event_id=f"evt_{row.event_id}",
            body=write_body(row, lines.get(row.order_id, ())),
            attempts=row.attempts,
        )
        for row in rows
    ]
