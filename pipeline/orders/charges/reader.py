"""Reads captured payments of placed orders from the provider, and applies what they show.

A webhook, a poll and the reconciler only cause a read: what they say is not applied. One worker reads a charge at a
time, under a lease; an answer that comes after its lease has ended is dropped, because a newer one may be applied.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Row, text

from models.money import Money
from pipeline.checkouts.conditions import WAS_PLACED
from pipeline.checkouts.locks import lock_orders
from pipeline.database import TransactionRunner, assert_no_transaction, is_transient
from pipeline.gateways import Gateway
from pipeline.gateways.charges import Charge, ChargeCall, ChargeRetrieval
from pipeline.gateways.gateway import NO_DETAILS, Misconfigured, Unknown
from pipeline.messaging import OutgoingMessage, Publisher
from pipeline.orders.charges.schedule import schedule_next_reads, wait_for_next
from pipeline.orders.charges.shown import Applied, PlacedOrder, apply_charge
from pipeline.settings import Settings

log = structlog.get_logger()

#: Charges read at once: one takes some tenths of a second.
READ_THREADS: Final = 8
#: A refund that cannot be adopted yet is tried again after so long: soon while a refund of the engine is on its way.
SOON: Final = timedelta(minutes=1)
LATER: Final = timedelta(hours=1)
#: A poll without an answer is repeated after so long.
UNANSWERED: Final = timedelta(minutes=5)

FIND: Final = text(f"""
    SELECT o.id, o.checkout_id FROM orders o JOIN payments p ON p.checkout_id = o.checkout_id
    WHERE o.checkout_id = ANY(CAST(:ids AS uuid[])) AND {WAS_PLACED}
      AND p.gateway = :gateway AND p.reference IS NOT NULL
""")

# Under the row locks of the orders.
LEASE: Final = text("""
    UPDATE payments p SET charge_leased_until = now() + make_interval(secs => :seconds)
    FROM orders o
    WHERE o.id = ANY(CAST(:order_ids AS uuid[])) AND p.checkout_id = o.checkout_id
      AND (p.charge_leased_until IS NULL OR p.charge_leased_until <= now())
    RETURNING o.id AS order_id, o.checkout_id, o.owner, o.number, o.currency, o.total_minor, p.reference,
              p.charge_leased_until
""")

HELD: Final = text("""
    SELECT checkout_id, charge_leased_until, charge_due_at, now() AS now FROM payments
    WHERE checkout_id = ANY(CAST(:ids AS uuid[]))
""")

RELEASE: Final = text("""
    UPDATE payments SET charge_leased_until = NULL WHERE checkout_id = ANY(CAST(:ids AS uuid[]))
""")


@dataclass(frozen=True, slots=True)
class LeasedCharge:
    """A charge that is read, until when, and the order that it belongs to."""

    order: PlacedOrder
    call: ChargeCall
    leased_until: datetime


class ChargeReader:
    """Reads charges and applies them. Thread-safe; safe at any time, twice, and for checkouts without a charge."""

    def __init__(
        self, transactions: TransactionRunner, publisher: Publisher, gateway: Gateway, settings: Settings
    ) -> None:
        """Take what commits, sends and calls."""
        self._transactions = transactions
        self._publisher = publisher
        self._gateway = gateway
        self._settings = settings
        self._threads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="charges")

    def run(self, checkout_ids: Sequence[UUID]) -> set[UUID]:
        """Read the charges of these checkouts.

        Return those that were read and applied, or have nothing to read; the caller repeats the others.
        """
        began = time.monotonic()
        found, leased = self._transactions.run(lambda connection: self._lease(connection, checkout_ids))
        done = set(checkout_ids) - found
        if leased:
            assert_no_transaction()
            answers = list(self._threads.map(lambda each: self._read(each, began), leased))
            done |= self._apply_all(list(zip(leased, answers, strict=True)))
        return done

    def close(self) -> None:
        """Wait for the calls in flight and end the threads."""
        self._threads.shutdown()

    def _lease(self, connection: Connection, checkout_ids: Sequence[UUID]) -> tuple[set[UUID], list[LeasedCharge]]:
        """Return the checkouts that have a charge, and those of them that nobody else reads."""
        facts = {"ids": list(checkout_ids), "gateway": self._gateway.name}
        found = {row.id: row.checkout_id for row in connection.execute(FIND, facts)}
        if not found:
            return set(), []
        lock_orders(connection, list(found))
        seconds = self._settings.gateway_lease_seconds
        rows = connection.execute(LEASE, {"order_ids": list(found), "seconds": seconds}).all()
        return set(found.values()), [_read_lease(row) for row in rows]

    def _read(self, leased: LeasedCharge, began: float) -> ChargeRetrieval:
        patience_seconds = self._settings.gateway_lease_seconds - self._gateway.call_seconds
        if time.monotonic() - began > patience_seconds:
            return Unknown("not called: its lease would end first")
        try:
            answer = self._gateway.retrieve_charge(leased.call)
        except Exception as error:
            log.exception("gateway.raised", checkout_id=str(leased.order.checkout_id), verb="retrieve_charge")
            return Unknown(repr(error)[:500])
        if isinstance(answer, Misconfigured):
            log.error("gateway.misconfigured", checkout_id=str(leased.order.checkout_id), error=answer.error)
        return answer

    def _apply_all(self, read: Sequence[tuple[LeasedCharge, ChargeRetrieval]]) -> set[UUID]:
        """Apply a batch in one transaction; one charge that raises is isolated from the others."""
        try:
            done, messages = self._transactions.run(lambda connection: self._apply(connection, read))
        except Exception as error:
            if is_transient(error):
                raise
            if len(read) > 1:
                log.warning("charges.isolated", count=len(read), error=repr(error))
                return {id_ for each in read for id_ in self._apply_all([each])}
            log.exception("charge.raised", checkout_id=str(read[0][0].order.checkout_id))
            return set()
        if messages:
            self._publisher.send(messages)
        return done

    def _apply(
        self, connection: Connection, read: Sequence[tuple[LeasedCharge, ChargeRetrieval]]
    ) -> tuple[set[UUID], list[OutgoingMessage]]:
        lock_orders(connection, [leased.order.id for leased, _ in read])
        ids = [leased.order.checkout_id for leased, _ in read]
        held = {row.checkout_id: row for row in connection.execute(HELD, {"ids": ids})}
        done: set[UUID] = set()
        messages: list[OutgoingMessage] = []
        waits: dict[UUID, timedelta | None] = {}
        kept = [each for each in read if held[each[0].order.checkout_id].charge_leased_until == each[0].leased_until]
        for leased, answer in kept:
            id_ = leased.order.checkout_id
            if isinstance(answer, Charge):
                applied = apply_charge(connection, leased.order, answer, self._settings)
                messages += applied.messages
                waits[id_] = _find_wait(applied, answer, held[id_].now)
                done.add(id_)
            elif held[id_].charge_due_at is not None:
                waits[id_] = UNANSWERED
        schedule_next_reads(connection, waits)
        connection.execute(RELEASE, {"ids": [leased.order.checkout_id for leased, _ in kept]})
        return done, messages


def _find_wait(applied: Applied, charge: Charge, now: datetime) -> timedelta | None:
    if applied.postponed:
        return SOON if applied.messages else LATER
    return wait_for_next(charge, now)


def _read_lease(row: Row[Any]) -> LeasedCharge:
    order = PlacedOrder(row.order_id, row.checkout_id, row.owner, row.number, row.currency)
    call = ChargeCall(row.checkout_id, row.reference, "", Money(row.total_minor, row.currency), NO_DETAILS)
    return LeasedCharge(order, call, row.charge_leased_until)
