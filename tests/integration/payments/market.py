"""A day at the market: buyers of all kinds, a bank in trouble, and a postman who loses letters and doubles others."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine

from models.states import TERMINAL, CheckoutState
from pipeline.database import connect_engine
from pipeline.errors import Conflict
from pipeline.gateways.gateway import Answer
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.webhook_events import SandboxEvent
from pipeline.intake import PaymentInput, StartRequest
from pipeline.messaging import OutgoingMessage
from pipeline.settings import Settings
from tests.support.harness import OWNER, Line, Shelf, Works
from tests.support.mail import GATEWAY
from tests.support.workbench import Spy

#: Engines at work at the same time, on the same queues.
ENGINES: Final = 3


@dataclass(frozen=True)
class Kind:
    """A kind of buyer: out of a hundred, this many; the cards they try, what they say at the bank, how it must end."""

    name: str
    share: int
    cards: tuple[str, ...]
    ends: frozenset[str]
    straight: bool = True
    says: str | None = None
    cancels: bool = False


def _ends(*states: str) -> frozenset[str]:
    return frozenset(states)


KINDS: Final = (
    Kind("pays", 48, ("tok_ok",), _ends("completed")),
    Kind("looks first", 16, ("tok_ok",), _ends("completed"), straight=False),
    Kind("has no money", 5, ("tok_insufficient_funds",), _ends("failed")),
    Kind("has a second card", 5, ("tok_declined", "tok_ok"), _ends("completed"), straight=False),
    Kind("is refused late", 4, ("tok_capture_declined",), _ends("failed")),
    Kind("approves", 6, ("tok_action_required",), _ends("completed"), says="yes"),
    Kind("refuses", 3, ("tok_action_required",), _ends("failed"), says="no"),
    Kind("refuses and pays", 2, ("tok_action_required", "tok_ok"), _ends("completed"), straight=False, says="no"),
    Kind("never comes back", 4, ("tok_action_required",), _ends("expired"), says="nothing"),
    Kind("changes their mind", 7, ("tok_ok",), _ends("cancelled", "completed"), cancels=True),
)


@dataclass
class Buyer:
    """One buyer on their way."""

    kind: Kind
    id: UUID
    cards: list[str]
    has_spoken: bool = False
    has_cancelled: bool = False


class SharedLine(Line):
    """Queues that several threads work on."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self._lock = threading.RLock()

    def send(self, sends: Sequence[OutgoingMessage]) -> bool:
        """Queue."""
        with self._lock:
            return super().send(sends)

    def take(self, queue: str, limit: int = 64) -> list[UUID]:
        """Hand over."""
        with self._lock:
            return super().take(queue, limit)

    def heads(self, queues: Sequence[str]) -> Any:
        """Look."""
        with self._lock:
            return super().heads(queues)


@dataclass
class Market:
    """Everything that happens, seeded. `heard` are the bank's answers, `letters` counts what became of its mail."""

    engine: Engine
    settings: Settings
    seed: int
    bank: SandboxGateway = field(init=False)
    buyers: dict[UUID, Buyer] = field(default_factory=dict)
    heard: list[Answer] = field(default_factory=list)
    letters: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Open the bank and the engines."""
        self.dice = random.Random(self.seed)
        self.shelf = Shelf(self.engine)
        self.bank = SandboxGateway(self.settings)
        self.spy = Spy(self.bank, replace=self._hear)
        self.line = SharedLine()
        self.works = [Works(self.engine, self.settings, self.spy, self.line) for _ in range(ENGINES)]
        self.service = self.works[0].service
        self._pool = ThreadPoolExecutor(ENGINES)
        self._last_event = 0
        self._held_back: list[SandboxEvent] = []

    def close(self) -> None:
        """Give back threads and connections."""
        self._pool.shutdown()
        for each in self.works:
            each.executor.close()
        self.bank.close()

    def open(self, count: int) -> None:
        """Let the buyers come, each with a cart of one cup or two."""
        self.shelf.add_variant("cup", stock=count * 2, price_minor=350)
        kinds = [kind for kind in KINDS for _ in range(count * kind.share // 100)]
        self.dice.shuffle(kinds)
        carts = [self.shelf.add_cart(("cup", self.dice.randint(1, 2))) for _ in kinds]
        for start in range(0, count, 100):
            group = list(zip(kinds[start : start + 100], carts[start : start + 100], strict=True))
            requests = [_request(kind, cart_id) for kind, cart_id in group]
            for (kind, _), admitted in zip(group, self.service.start_many(requests), strict=True):
                assert not isinstance(admitted, Exception)
                left = list(kind.cards[1:] if kind.straight else kind.cards)
                self.buyers[admitted.checkout_id] = Buyer(kind, admitted.checkout_id, left)

    def run(self, *, seconds: float) -> None:
        """Let the day go by until everybody has been served, or for so long."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            for future in [self._pool.submit(each.pump) for each in self.works]:
                future.result()
            self.works[0].sweep()
            if not self._act():
                return
            self._bring_mail()

    def _act(self) -> int:
        """Let everybody do what they do next; return how many have not been served."""
        rows = self.shelf.rows(
            "SELECT c.id, c.state, p.reference FROM checkouts c LEFT JOIN payments p ON p.checkout_id = c.id"
            " WHERE c.state <> ALL(:over) ORDER BY c.id",
            over=sorted(TERMINAL),
        )
        for id_, state, reference in rows:
            self._act_one(self.buyers[id_], state, reference)
        return len(rows)

    def _act_one(self, buyer: Buyer, state: str, reference: str | None) -> None:
        if buyer.kind.cancels and not buyer.has_cancelled and self.dice.random() < 0.5:
            buyer.has_cancelled = True
            # Past the pivot it is refused, and the order comes.
            with suppress(Conflict):
                self.service.cancel(buyer.id, OWNER)
        elif state == CheckoutState.AWAITING_PAYMENT and buyer.cards:
            self.works[0].pay(buyer.id, buyer.cards.pop(0))
        elif state == CheckoutState.ACTION_REQUIRED:
            assert reference is not None
            if buyer.kind.says == "nothing":
                self.shelf.run("UPDATE checkouts SET expires_at = now() WHERE id = :id", id=buyer.id)
            elif not buyer.has_spoken:
                buyer.has_spoken = True
                (self.bank.approve if buyer.kind.says == "yes" else self.bank.refuse)(reference)
            elif self.dice.random() < 0.3:
                # No webhook so far: the storefront asks.
                self.service.resume(buyer.id, OWNER)

    def _bring_mail(self) -> None:
        """Bring the bank's letters: in any order, one in ten twice, one in four never, one in ten at the very end."""
        events = self.bank.events(self._last_event, limit=500)
        self._last_event = max((each.id for each in events), default=self._last_event)
        bag = []
        for each in events:
            fate = self.dice.choices(["once", "twice", "never", "late"], weights=[55, 10, 25, 10])[0]
            self.letters[fate] += 1
            bag += [each] * {"once": 1, "twice": 2}.get(fate, 0)
            if fate == "late":
                self._held_back.append(each)
        self.dice.shuffle(bag)
        for each in bag:
            self.service.receive_webhook(GATEWAY, each.body, each.headers)

    def look_back(self) -> int:
        """Bring the letters that were held back, newest first, and let all that ended be looked at; return how many."""
        for each in reversed(self._held_back):
            self.service.receive_webhook(GATEWAY, each.body, each.headers)
        count = self.shelf.run("UPDATE checkouts SET due_at = now() WHERE ended_at IS NOT NULL AND due_at IS NOT NULL")
        self.works[0].sweep()
        self.works[0].pump()
        return count

    def _hear(self, _verb: str, answer: Answer) -> Answer:
        self.heard.append(answer)
        return answer


def _request(kind: Kind, cart_id: UUID) -> StartRequest:
    payment = PaymentInput(token=kind.cards[0]) if kind.straight else None
    return StartRequest(owner=OWNER, cart_id=cart_id, payment=payment, idempotency_key=f"start-{cart_id}")


@contextmanager
def open_market(settings: Settings, seed: int) -> Iterator[Market]:
    """Give a market on an engine with enough connections for its threads."""
    engine = connect_engine(settings, application_name="market")
    market = Market(engine, settings, seed)
    try:
        yield market
    finally:
        market.close()
        engine.dispose()
