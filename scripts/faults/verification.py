"""Checks a chaos run: the recovery time of each fault, and at the end history, replay and audit."""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import UUID

import requests
from dramatiq import Message
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from models.states import TERMINAL
from pipeline.audit import take_report
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.webhook_events import SandboxEvent
from pipeline.messaging import DELIVERIES, WEBHOOKS, OutgoingMessage
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.operations.statistics import list_checkout_queues
from scripts.environments.ending import Ending
from scripts.faults.after_sales import ChangeHistory
from scripts.faults.listener import Listener
from scripts.faults.load import History, make_intake
from scripts.faults.order_verification import OrderVerdict, verify_changes
from scripts.faults.place import OWNER, Place
from workers.broker.batch_broker import BatchBroker
from workers.broker.publisher import RedisSender
from workers.overview import is_idle

# Scheduled checkouts are left out: they wait for their own due time or for the bank, not because of a fault.
WITNESSES: Final = text("""
    SELECT id, state || phase || fence AS standing FROM checkouts
    WHERE state IN ('running', 'unwinding') AND due_reason = 'stalled'
""")
STANDING: Final = text("SELECT id, state || phase || fence FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[]))")
LEFT: Final = text("""
    SELECT (SELECT count(*) FROM checkouts WHERE ended_at IS NULL AND state <> 'needs_review')
           + (SELECT count(*) FROM order_changes WHERE state IN ('requested', 'running') AND kind <> 'dispute')
""")
STATES: Final = text("SELECT state, count(*) AS checkouts FROM checkouts GROUP BY state")
KNOWN: Final = text("SELECT key, checkout_id FROM idempotency_keys WHERE owner = :owner")
LAST_WEBHOOK: Final = text("SELECT coalesce(max(id), 0) FROM sandbox.entries")
# Work without a message: calls that still hang after their message is done, webhooks that wait for their next attempt.
PENDING: Final = text("""
    SELECT (SELECT count(*) FROM payment_operations WHERE leased_until > now())
           + (SELECT count(*) FROM webhook_inbox WHERE due_at IS NOT NULL)
           + (SELECT count(*) FROM refunds WHERE leased_until > now())
           + (SELECT count(*) FROM payments WHERE charge_due_at < now() + interval '10 minutes')
""")
EXISTING: Final = text("SELECT id FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[]))")
TABLES: Final = text("""
    SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
    WHERE schemaname IN ('public', 'sandbox') ORDER BY 1
""")

# A message for a checkout that ended without an order retrieves its payment and sets `updated_at`: that is no change.
HASH: Final = "hashtextextended((to_jsonb(t) - 'updated_at')::text, 0)"

#: Queues whose messages name rows of other tables than checkouts.
QUEUES: Final = {WEBHOOKS: "webhook_inbox", DELIVERIES: "webhook_deliveries", ORDER_CHANGES: "order_changes"}
#: Not part of purchases: heartbeats, rejected messages, HTTP responses.
NOT_COMPARED: Final = frozenset({"public.heartbeats", "public.rejected_messages", "public.stored_responses"})
#: Early messages that are reported one by one.
EXAMPLES: Final = 3
#: Longest wait for a witness. A slower one is stuck, and counted so at the end.
RECOVERY_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
JSON: Final = {"Content-Type": "application/json"}
POST_THREADS: Final = 8
#: Messages sent again in one call.
CHUNK: Final = 5000


@dataclass
class Verdict:
    """The result of one run; `mismatched` counts keys that were answered with another checkout than was stored."""

    checkouts: int = 0
    completed: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0
    stuck: int = 0
    needs_review: int = 0
    mismatched: int = 0
    gave_up: int = 0
    early: int = 0  # messages that were sent before the commit that they follow
    rows_changed_by_replay: int = 0
    audit_violations: int = 0
    orders: OrderVerdict = field(default_factory=OrderVerdict)
    violations: list[str] = field(default_factory=list)

    def add_early_messages(self, listener: Listener) -> None:
        """Add a violation for every message that was sent too early, or for a listener that could never poll."""
        self.early = len(listener.early)
        self.violations += [
            f"{call.queue} was sent for {call.subject_id} before the commit that it follows"
            for call in sorted(listener.early, key=str)[:EXAMPLES]
        ]
        if not listener.polls:
            self.violations.append("the queues could not be read: that no message was sent too early is not shown")


def read_witnesses(place: Place) -> dict[UUID, str]:
    """Return the position of each checkout under way; empty while PostgreSQL is down."""
    with suppress(DBAPIError), place.database.connect() as connection:
        return {row.id: row.standing for row in connection.execute(WITNESSES)}
    return {}


def wait_for_progress(place: Place, witnesses: Mapping[UUID, str], ending: Ending) -> float | None:
    """Return the seconds until all witnesses have made a step; None without witnesses."""
    if not witnesses:
        return None
    began = time.monotonic()
    left = dict(witnesses)
    while left and time.monotonic() - began < RECOVERY_SECONDS:
        with suppress(DBAPIError), place.database.connect() as connection:
            rows = connection.execute(STANDING, {"ids": list(left)})
            left = {id_: left[id_] for id_, standing in rows if standing == left[id_]}
        if left:
            ending.sleep(POLL_SECONDS)
    return time.monotonic() - began


def wait_for_end(place: Place, ending: Ending, seconds: float) -> bool:
    """Return whether all checkouts and changes of orders have ended within the bound."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        with suppress(DBAPIError), place.database.connect() as connection:
            if not connection.execute(LEFT).scalar_one():
                return True
        ending.sleep(POLL_SECONDS)
    return False


def verify_run(
    place: Place, history: History, changes: ChangeHistory, ending: Ending, *, replay_seconds: float
) -> Verdict:
    """Compare the database with the clients' history, send everything again, and audit."""
    verdict = Verdict(gave_up=len(history.gave_up))
    with place.database.connect() as connection:
        verdict.states = {row.state: row.checkouts for row in connection.execute(STATES)}
        _check_history(connection, history, verdict)
    verdict.checkouts = sum(verdict.states.values())
    verdict.completed = verdict.states.get("completed", 0)
    verdict.needs_review = verdict.states.get("needs_review", 0)
    verdict.stuck = verdict.checkouts - sum(verdict.states.get(state, 0) for state in TERMINAL) - verdict.needs_review
    _replay(place, history, ending, replay_seconds, verdict)
    with place.database.connect() as connection:
        # After the replay: by now the bank's webhooks about refunds and disputes have all been processed.
        verdict.orders = verify_changes(connection, changes)
    with place.database.connect() as connection:
        found = take_report(connection, place.settings).violations
    verdict.audit_violations = len(found)
    verdict.violations += [f"{each.invariant}: {each.meaning} ({each.count} rows)" for each in found]
    return verdict


def _replay(place: Place, history: History, ending: Ending, seconds: float, verdict: Verdict) -> None:
    """Send everything again; add a violation when that changes a row, or does not end in time."""
    quiet = _post_all_webhooks(place) and wait_for_silence(place, ending, seconds)
    before = _read_rows(place)
    sent = send_everything_again(place, history)
    quiet = wait_for_silence(place, ending, seconds) and quiet
    after = _read_rows(place)
    if not (sent and quiet):
        verdict.violations.append(
            "not everything could be sent again and processed: that it changes nothing is not shown"
        )
    for table, rows in after.items():
        new, gone = rows - before[table], before[table] - rows
        verdict.rows_changed_by_replay += max(len(new), len(gone))
        if new:
            example = _show_row(place, table, next(iter(new)))
            verdict.violations.append(f"sending everything again has changed {len(new)} rows of {table}: {example}")
        elif gone:
            verdict.violations.append(f"sending everything again has removed {len(gone)} rows of {table}")


def _check_history(connection: Connection, history: History, verdict: Verdict) -> None:
    ids = {id_ for found in history.accepted.values() for id_ in found}
    existing = {id_ for (id_,) in connection.execute(EXISTING, {"ids": list(ids)})}
    verdict.lost = len(ids - existing)
    known: dict[str, UUID] = {row.key: row.checkout_id for row in connection.execute(KNOWN, {"owner": OWNER})}
    for key, found in history.accepted.items():
        # A checkout that is started without a payment has no idempotency key in the database.
        if len(found) > 1 or (not key.startswith("start-") and {known.get(key)} != found):
            verdict.mismatched += 1
            answered = ", ".join(sorted(map(str, found)))
            verdict.violations.append(f"{key} was answered with {answered}, the database has {known.get(key)}")


def send_everything_again(place: Place, history: History) -> bool:
    """Send every possible message to every queue, and every webhook of the bank; return whether all were sent."""
    broker = BatchBroker(url=place.valkey.url, on_refused=lambda _: None)
    try:
        sender = RedisSender(broker)
        with place.database.connect() as connection:
            ids = list(connection.execute(text("SELECT id, now() FROM checkouts ORDER BY id")))
            others = [
                OutgoingMessage(queue, id_, now)
                for queue, table in QUEUES.items()
                for id_, now in connection.execute(text(f"SELECT id, now() FROM {table} ORDER BY id"))
            ]
        sends = [OutgoingMessage(queue, id_, now) for id_, now in ids for queue in list_checkout_queues()] + others
        sent = all(sender.send(sends[first : first + CHUNK]) for first in range(0, len(sends), CHUNK))
        intake: list[Message[Any]] = [make_intake(request) for request in history.messages.values()]
        broker.enqueue_many(intake)
    finally:
        broker.close()
    return _post_all_webhooks(place) and sent


def _post_all_webhooks(place: Place) -> bool:
    with place.database.connect() as connection:
        last: int = connection.execute(LAST_WEBHOOK).scalar_one()
    return post_webhooks(place) >= last


def post_webhooks(place: Place, after_id: int = 0) -> int:
    """Post the bank's webhooks after this one to the HTTP edge; return the last one before any that was refused."""
    gateway = SandboxGateway(place.settings)
    local = threading.local()

    def post(event: SandboxEvent) -> bool:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        url, headers = f"{place.url}/webhooks/sandbox", {**event.headers, **JSON}
        with suppress(requests.RequestException):
            return bool(local.session.post(url, data=event.body, headers=headers, timeout=20).status_code == 200)
        return False

    try:
        with ThreadPoolExecutor(POST_THREADS) as threads:
            while events := gateway.events(after_id, limit=500):
                for event, accepted in zip(events, threads.map(post, events), strict=True):
                    if not accepted:
                        return after_id
                    after_id = event.id
    except DBAPIError:
        return after_id
    finally:
        gateway.close()
    return after_id


def wait_for_silence(place: Place, ending: Ending, seconds: float) -> bool:
    """Return whether within the bound no message waits or is in flight, and nothing is pending."""
    broker = BatchBroker(url=place.valkey.url, on_refused=lambda _: None)
    ends_at = time.monotonic() + seconds
    quiet = 0
    try:
        while quiet < 3 and time.monotonic() < ends_at:
            with place.database.connect() as connection:
                pending = connection.execute(PENDING).scalar_one()
            quiet = quiet + 1 if is_idle(broker.client) and not pending else 0
            ending.sleep(0.2)
        return quiet == 3
    finally:
        broker.close()


def _read_rows(place: Place) -> dict[str, set[int]]:
    """Return the hashes of the rows of each table."""
    rows: dict[str, set[int]] = {}
    with place.database.connect() as connection:
        for (table,) in connection.execute(TABLES).all():
            if table not in NOT_COMPARED:
                rows[table] = set(connection.execute(text(f"SELECT {HASH} FROM {table} t")).scalars())
    return rows


def _show_row(place: Place, table: str, hash_: int) -> str:
    with place.database.connect() as connection:
        found = connection.execute(text(f"SELECT t::text FROM {table} t WHERE {HASH} = :hash"), {"hash": hash_})
        return str(found.scalars().first())


def describe(verdict: Verdict, faults: Sequence[tuple[str, str, float | None]], gateway_faults: int) -> dict[str, Any]:
    """Return a run as one JSON object."""
    fired = Counter(kind for kind, _, _ in faults)
    if gateway_faults:
        fired["gateway"] = gateway_faults
    times = sorted(seconds for _, _, seconds in faults if seconds is not None)
    return {
        **asdict(verdict),
        "recovery_p50_seconds": _rank(times, 0.5),
        "recovery_p95_seconds": _rank(times, 0.95),
        "recovery_max_seconds": times[-1] if times else None,
        "faults": dict(fired),
    }


def _rank(times: Sequence[float], share: float) -> float | None:
    return round(times[min(len(times) - 1, int(share * len(times)))], 3) if times else None
