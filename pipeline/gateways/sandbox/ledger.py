"""The bank's books at work: a group of requests in one transaction, each answered as if it had come alone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, assert_never

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from models.states import PaymentStatus
from pipeline.database import is_transient
from pipeline.gateways.gateway import Declined, Unknown
from pipeline.gateways.sandbox.answers import Decided, dump_answer, load_answer
from pipeline.gateways.sandbox.faults import WITHOUT_EFFECT, Conduct, Faults
from pipeline.gateways.sandbox.requests import Keyed, Reply, Request, Unkeyed, Visit
from pipeline.gateways.sandbox.rules import Clock, Effect, LedgerEntry, PaymentObject, act, lapse, visit
from pipeline.gateways.sandbox.statements import (
    SeenKey,
    lock_keys,
    lock_objects,
    read_keys,
    read_refused,
    write_group,
)
from pipeline.gateways.sandbox.tokens import TokenFault, find_fault

log = structlog.get_logger(__name__)

KEY_IN_USE: Final = Reply(Unknown("key_in_use"))
SERVER_ERROR: Final = Reply(Unknown("server_error"))


class Ledger:
    """Carries out groups of requests. For one thread; other ledgers may work on the same books at the same time."""

    def __init__(self, engine: Engine, conduct: Conduct) -> None:
        """Take the engine of the bank's own database, and how it behaves."""
        self.commits = 0
        self._engine = engine
        self._conduct = conduct
        self._faults = Faults(conduct)

    def carry_out(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer each request, in order; what they did is committed when this returns. Never raises for a database.

        A request the database refuses is answered alone, its neighbours go on. When the database itself is at fault
        the outcome is not known: every answer is Unknown.
        """
        try:
            with self._engine.begin() as connection:
                replies = _Group(connection, requests, self._conduct, self._faults).settle()
        except (SQLAlchemyError, ValueError) as error:
            if is_transient(error):
                # A lost connection, a deadlock, a lock timeout: one by one would only wait as many times.
                log.warning("sandbox.database_failed", requests=len(requests), error=str(error))
                return [SERVER_ERROR] * len(requests)
            if len(requests) > 1:
                return [reply for request in requests for reply in self.carry_out([request])]
            log.warning("sandbox.request_failed", error=str(error))
            # Data that cannot be stored never can: a definite no. Anything else stays open.
            refused = isinstance(error, DataError | UnicodeError)
            return [Reply(Declined("request_invalid"))] if refused else [SERVER_ERROR]
        self.commits += 1
        return replies


class _Group:
    """One transaction: what it locked and read, and what it will write."""

    def __init__(self, connection: Connection, requests: Sequence[Request], conduct: Conduct, faults: Faults) -> None:
        self.connection = connection
        self.requests = requests
        self.conduct = conduct
        self.faults = faults
        self.new_keys: dict[str, SeenKey] = {}
        self.new_objects: dict[str, PaymentObject] = {}
        self.new_entries: list[LedgerEntry] = []
        keys = sorted({key for request in requests if isinstance(request, Keyed) for key in _keys_of(request)})
        references = sorted({request.reference for request in requests if request.reference is not None})
        # Keys first, without waiting; then objects, in order: two groups never wait for each other in a circle.
        self.free = lock_keys(connection, keys) if keys else set()
        self.seen = read_keys(connection, self.free) if self.free else {}
        self.objects, now = lock_objects(connection, references) if references else ({}, None)
        self.clock = None if now is None else Clock(now, now + timedelta(seconds=conduct.authorization_seconds))
        self._let_go()
        self.refused = self._find_refused()

    def settle(self) -> list[Reply]:
        """Answer every request in the order it came and write down what has changed."""
        replies = [self._reply(request) for request in self.requests]
        if self.new_keys or self.new_objects:
            write_group(self.connection, self.new_keys, self.new_objects, self.new_entries)
        return replies

    def _let_go(self) -> None:
        """Cancel what has expired, before any answer."""
        if self.clock is None:
            return
        for effect in [lapse(held, self.clock) for held in self.objects.values()]:
            if effect is not None:
                self._keep(effect)

    def _find_refused(self) -> set[str]:
        """Return the objects to be retrieved that are open because the buyer failed 3-D Secure."""
        looked_at = {r.reference for r in self.requests if isinstance(r, Unkeyed) and r.visit is Visit.RETRIEVE}
        opened = [ref for ref, held in self.objects.items() if ref in looked_at and held.status is PaymentStatus.OPEN]
        return read_refused(self.connection, opened) if opened else set()

    def _reply(self, request: Request) -> Reply:
        match request:
            case Keyed():
                return self._reply_keyed(request)
            case Unkeyed(kind, reference):
                effect = visit(kind, self._find(reference), self.clock, refused=reference in self.refused)
                answer = self._keep(effect).answer
                fault = self.faults.of_retrieval(reference) if kind is Visit.RETRIEVE else None
                return self.faults.spoil(fault, answer)
            case _:
                assert_never(request)

    def _reply_keyed(self, request: Keyed) -> Reply:
        if self._is_in_use(request):
            return KEY_IN_USE
        seen = self._last(request.call.key)
        if seen is not None and seen.fingerprint != request.fingerprint:
            return Reply(Declined("idempotency_mismatch", "The key was used for another request."))
        fault = self.faults.of_call(request, 0 if seen is None else seen.calls)
        if fault is TokenFault.BROKEN and not self._is_broken(request):
            fault = None
        kept = None if seen is None else seen.answer
        if fault in WITHOUT_EFFECT:
            self._remember(request, kept)
            return self.faults.spoil(fault)
        return self.faults.spoil(fault, self._act(request) if kept is None else self._repeat(request, kept))

    def _is_in_use(self, request: Keyed) -> bool:
        """Return whether another call with this key is at work: elsewhere, in this group, or hanging."""
        key = request.call.key
        seen = self.seen.get(key)
        if not self.free.issuperset(_keys_of(request)):
            return True
        if key in self.new_keys:
            return seen is None or seen.answer is None
        return seen is not None and seen.calls == 1 and seen.age_seconds < self.faults.held_seconds(request)

    def _is_broken(self, request: Keyed) -> bool:
        """Return whether this key is the one that the request broke; the first to come is."""
        mark = _mark_of(request)
        broken = self._last(mark)
        if broken is None:
            self.new_keys[mark] = SeenKey(mark, request.call.key, 1)
        return broken is None or broken.fingerprint == request.call.key

    def _act(self, request: Keyed) -> Decided:
        effect = self._keep(act(request.verb, request.call, self._find(request.reference), self.clock))
        self._remember(request, dump_answer(effect.answer))
        return effect.answer

    def _repeat(self, request: Keyed, kept: dict[str, Any]) -> Decided:
        self._remember(request, kept)
        return load_answer(kept)

    def _find(self, reference: str | None) -> PaymentObject | None:
        return None if reference is None else self.objects.get(reference)

    def _keep(self, effect: Effect) -> Effect:
        """Later requests of the group see what earlier ones did."""
        if effect.changed is not None:
            self.objects[effect.changed.reference] = self.new_objects[effect.changed.reference] = effect.changed
        if effect.entry is not None:
            self.new_entries.append(effect.entry)
            if effect.entry.kind == "refuse":
                self.refused.add(effect.entry.reference)
        return effect

    def _last(self, key: str) -> SeenKey | None:
        return self.new_keys.get(key) or self.seen.get(key)

    def _remember(self, request: Keyed, answer: dict[str, Any] | None) -> None:
        key = request.call.key
        before = self._last(key)
        self.new_keys[key] = SeenKey(key, request.fingerprint, before.calls + 1 if before else 1, answer)


def _keys_of(request: Keyed) -> list[str]:
    """Return the keys under which the bank keeps something about this call."""
    is_breaking = find_fault(request.verb, request.call.token) is TokenFault.BROKEN
    return [request.call.key, _mark_of(request)] if is_breaking else [request.call.key]


def _mark_of(request: Keyed) -> str:
    # Kept like a key, in the column of fingerprints the key that broke: found by the primary key.
    return f"broken:{request.fingerprint}"
