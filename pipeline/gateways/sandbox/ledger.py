"""The bank's books at work: a group of requests in one transaction, each answered as if it had come alone."""

from collections.abc import Sequence
from typing import Any, Final, assert_never

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from models.states import PaymentStatus
from pipeline.database import is_transient
from pipeline.gateways.protocol import Declined, Unknown
from pipeline.gateways.sandbox.answers import dump_answer, load_answer
from pipeline.gateways.sandbox.requests import Keyed, Reply, Request, Unkeyed, Visit
from pipeline.gateways.sandbox.rules import Effect, Entry, PaymentObject, act, visit
from pipeline.gateways.sandbox.statements import (
    SeenKey,
    lock_keys,
    lock_objects,
    read_keys,
    read_refused,
    write_group,
)
from pipeline.gateways.sandbox.tokens import Fault, find_fault

log = structlog.get_logger(__name__)

KEY_IN_USE: Final = Reply(Unknown("key_in_use"))
SERVER_ERROR: Final = Reply(Unknown("server_error"))
TIMEOUT: Final = Reply(Unknown("timeout"), hangs=True)


class Ledger:
    """Carries out groups of requests. For one thread; other ledgers may work on the same books at the same time."""

    def __init__(self, engine: Engine, *, hang_seconds: float) -> None:
        """Take the engine of the bank's own database, and how long a hanging call keeps its key in use."""
        self.commits = 0
        self._engine = engine
        self._hang_seconds = hang_seconds

    def carry_out(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer each request, in order; what they did is committed when this returns. Never raises for a database.

        A request the database refuses is answered alone, its neighbours go on. When the database itself is at fault
        nobody can say what happened: every answer is Unknown.
        """
        try:
            with self._engine.begin() as connection:
                replies = _Group(connection, requests, self._hang_seconds).settle()
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

    def __init__(self, connection: Connection, requests: Sequence[Request], hang_seconds: float) -> None:
        self.connection = connection
        self.requests = requests
        self.hang_seconds = hang_seconds
        keys = sorted({request.call.key for request in requests if isinstance(request, Keyed)})
        references = sorted({request.reference for request in requests if request.reference is not None})
        # Keys first, without waiting; then objects, in order: two groups never wait for each other in a circle.
        self.free = lock_keys(connection, keys) if keys else set()
        self.seen = read_keys(connection, self.free) if self.free else {}
        self.objects = lock_objects(connection, references) if references else {}
        self.refused = self._find_refused()
        self.new_keys: dict[str, SeenKey] = {}
        self.new_objects: dict[str, PaymentObject] = {}
        self.new_entries: list[Entry] = []

    def settle(self) -> list[Reply]:
        """Answer every request in the order it came and write down what has changed."""
        replies = [self._reply(request) for request in self.requests]
        if self.new_keys or self.new_objects:
            write_group(self.connection, self.new_keys, self.new_objects, self.new_entries)
        return replies

    def _find_refused(self) -> set[str]:
        """Return the objects to be looked at whose open state is due to the buyer's no."""
        looked_at = {r.reference for r in self.requests if isinstance(r, Unkeyed) and r.visit is Visit.RETRIEVE}
        opened = [ref for ref, held in self.objects.items() if ref in looked_at and held.status is PaymentStatus.OPEN]
        return read_refused(self.connection, opened) if opened else set()

    def _reply(self, request: Request) -> Reply:
        match request:
            case Keyed():
                return self._reply_keyed(request)
            case Unkeyed(kind, reference):
                refused = reference in self.refused
                return Reply(self._keep(visit(kind, self._find(reference), refused=refused)).answer)
            case _:
                assert_never(request)

    def _reply_keyed(self, request: Keyed) -> Reply:
        if self._is_in_use(request):
            return KEY_IN_USE
        seen = self.seen.get(request.call.key)
        if seen is None:
            return self._reply_first(request, find_fault(request.verb, request.call.token))
        if seen.fingerprint != request.fingerprint:
            return Reply(Declined("idempotency_mismatch", "The key was used for another request."))
        if seen.answer is None:
            return self._act(request)
        self._remember(request, seen.answer)
        return Reply(load_answer(seen.answer))

    def _is_in_use(self, request: Keyed) -> bool:
        """Tell whether another call with this key is at work: elsewhere, in this group, or hanging."""
        key = request.call.key
        seen = self.seen.get(key)
        if key not in self.free:
            return True
        if key in self.new_keys:
            return seen is None or seen.answer is None
        is_hanging = find_fault(request.verb, request.call.token) in (Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER)
        return is_hanging and seen is not None and seen.age_seconds < self.hang_seconds

    def _reply_first(self, request: Keyed, fault: Fault | None) -> Reply:
        match fault:
            case Fault.TIMEOUT_BEFORE:
                self._remember(request, None)
                return TIMEOUT
            case Fault.ERROR:
                self._remember(request, None)
                return SERVER_ERROR
            case Fault.TIMEOUT_AFTER:
                self._act(request)
                return TIMEOUT
            case Fault.DECLINED | None:
                return self._act(request)
            case _:
                assert_never(fault)

    def _act(self, request: Keyed) -> Reply:
        effect = self._keep(act(request.verb, request.call, self._find(request.reference)))
        self._remember(request, dump_answer(effect.answer))
        return Reply(effect.answer)

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

    def _remember(self, request: Keyed, answer: dict[str, Any] | None) -> None:
        key = request.call.key
        before = self.new_keys.get(key) or self.seen.get(key)
        self.new_keys[key] = SeenKey(key, request.fingerprint, before.calls + 1 if before else 1, answer)
