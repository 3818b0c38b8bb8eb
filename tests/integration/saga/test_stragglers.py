"""A bank that does not answer one buyer delays no other, and its answer is not lost."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.gateways import build_gateway
from pipeline.gateways.gateway import Call
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.intake import PaymentInput, StartRequest
from pipeline.messaging import UNWIND
from pipeline.saga import CHAIN
from pipeline.settings import Settings
from tests.integration.workers.web.stage import spin_until, work
from tests.support.harness import OWNER, Shelf, Works
from tests.support.patience import PATIENT_BANK
from tests.support.workbench import Spy, build_audited, read_bank

PHASE = "payment_authorization"
AUTHORIZATION = next(phase for phase in CHAIN if phase.name == PHASE)
CAPTURED = BankTotals(0, 500, 0)
#: Longer than any wait of these tests: they release a call, not the clock.
HELD_SECONDS = 90


@dataclass
class SlowBank:
    """Delays the answers to some checkouts' calls of one kind until it is released; `waiting` are delayed now.

    Without `held` it delays those of every checkout.
    """

    verb: str = "authorize"
    held: set[object] | None = None
    waiting: int = 0
    go: threading.Event = field(default_factory=threading.Event)

    def hold(self, verb: str, call: Call) -> None:
        """Wait, when this one is held back."""
        if verb == self.verb and (self.held is None or call.checkout_id in self.held):
            self.waiting += 1
            try:
                assert self.go.wait(HELD_SECONDS)
            finally:
                self.waiting -= 1


@contextmanager
def open_works(engine: Engine, settings: Settings, bank: SlowBank) -> Iterator[Works]:
    """Give the engine as processes have it: a batch leaves what is slow. Its gateway has the time to be slow."""
    patient = settings.model_copy(update=PATIENT_BANK)
    with build_audited(engine, patient, Spy(build_gateway(patient), before=bank.hold)) as works:
        works.executor.close()
        works.use(works.gateway, linger_seconds=0.05)
        try:
            yield works
        finally:
            bank.go.set()


def pump(works: Works, checkout_id: UUID) -> str:
    """Work off the queues, and return where a checkout stands: a later call of it may have been left behind too."""
    works.pump()
    [state] = works.states([checkout_id])
    return state


def test_a_call_that_hangs_keeps_neither_its_batch_nor_its_thread(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    # Given two of which the bank answers one
    shelf.add_variant("cup", stock=5, price_minor=250)
    bank = SlowBank()
    with open_works(engine, settings, bank) as works:
        slow, quick = (works.start(shelf.add_cart(("cup", 2)), token="tok_ok") for _ in range(2))
        bank.held = {slow}
        works.pump(until=PHASE)
        # When
        works.run_phase(PHASE)
        # Then the thread is back while the call is out, and the other one goes on
        spin_until(lambda: bank.waiting == 1, "the call is out")
        spin_until(lambda: works.line.waiting.get("checkout.order_creation"), "the quick one has gone on")
        assert works.status(quick).phases_completed == 4
        assert works.status(slow).phases_completed == 3
        spin_until(lambda: pump(works, quick) == "completed", "the quick one is bought")
        assert works.states([slow]) == ["running"]
        # ... no worker repeats the call in flight
        works.runner.run(AUTHORIZATION, [slow])
        assert bank.waiting == 1
        # When the bank answers
        bank.go.set()
        works.executor.finish()
        # Then its answer was written down, and it goes on by itself
        assert works.status(slow).phases_completed == 4
        spin_until(lambda: pump(works, slow) == "completed", "the slow one is bought")
        assert read_bank(engine, slow) == CAPTURED


def test_a_cancellation_that_hangs_delays_no_other_unwind(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given two that are authorised and called off, of which the bank lets one go
    shelf.add_variant("cup", stock=5, price_minor=250)
    bank = SlowBank(verb="cancel")
    with open_works(engine, settings, bank) as works:
        slow, quick = (works.start(shelf.add_cart(("cup", 2)), token="tok_ok") for _ in range(2))
        bank.held = {slow}
        works.pump(until="order_creation")
        works.executor.finish()
        for each in (slow, quick):
            works.service.cancel(each, OWNER)
        # When
        works.unwinder.run(works.line.take(UNWIND))
        # Then the thread is back while the call is out, and the other one ends
        spin_until(lambda: bank.waiting == 1, "the call is out")
        spin_until(lambda: works.states([quick]) == ["cancelled"], "the quick one has ended")
        assert works.states([slow]) == ["unwinding"]
        # When the bank answers
        bank.go.set()
        works.executor.finish()
        # Then
        assert works.states([slow]) == ["cancelled"]
        assert [read_bank(engine, each) for each in (slow, quick)] == [BankTotals(0, 0, 0)] * 2


def test_as_many_are_left_as_leave_room_for_others(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given four calls at once, of which two may be left, and three that hang
    shelf.add_variant("cup", stock=9, price_minor=250)
    bank = SlowBank()
    with open_works(engine, settings.model_copy(update={"gateway_concurrency": 4}), bank) as works:
        ids = [works.start(shelf.add_cart(("cup", 1)), token="tok_ok") for _ in range(3)]
        bank.held = set(ids)
        works.pump(until=PHASE)
        # When
        batch = threading.Thread(target=works.runner.run, args=(AUTHORIZATION, ids))
        batch.start()
        spin_until(lambda: bank.waiting == 3, "all three are out")
        batch.join(0.3)
        # Then the batch waits: the next one could only wait too
        assert batch.is_alive()
        bank.go.set()
        batch.join()
        works.executor.finish()
        spin_until(lambda: {pump(works, each) for each in ids} == {"completed"}, "all are bought")


@pytest.mark.usefixtures("works")
def test_a_worker_that_ends_waits_for_what_it_has_left(shelf: Shelf, settings: Settings) -> None:
    # Given a worker with a call that is out for as long as the test wants
    shelf.add_variant("cup", stock=9, price_minor=250)
    leased = "SELECT count(*) FROM payment_operations WHERE kind = 'authorize' AND leased_until > now()"
    patient = settings.model_copy(update=PATIENT_BANK)
    bank = SlowBank()
    with work(patient, Spy(build_gateway(patient), before=bank.hold)) as running:
        request = StartRequest(
            owner=OWNER,
            cart_id=shelf.add_cart(("cup", 1)),
            payment=PaymentInput(token="tok_ok"),
            idempotency_key="order-1",
        )
        checkout_id = running.service.start(request).checkout_id
        try:
            spin_until(lambda: shelf.rows(leased) == [(1,)], "the bank is asked")
            spin_until(lambda: running.executor._left == 1, "it is left behind")
        finally:
            # When it must end, half a second before the bank answers
            threading.Timer(0.5, bank.go.set).start()
    # Then the answer was written down before it ended
    assert shelf.rows("SELECT phase FROM checkouts WHERE id = :id", id=checkout_id)[0][0] >= 4
    assert shelf.rows("SELECT status FROM payment_operations WHERE kind = 'authorize'") == [("succeeded",)]
