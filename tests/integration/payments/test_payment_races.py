"""A cancellation, an expiry, a sweep meet a payment on its way: one of them wins, and money and order say the same."""

from collections import Counter
from functools import partial

import pytest
from sqlalchemy import text

from pipeline.errors import Code, Conflict
from pipeline.gateways.sandbox.books import Totals
from pipeline.intake import commands as intake
from pipeline.intake.requests import PaymentInput, ProcessRequest
from pipeline.messaging.ports import UNWIND
from pipeline.saga.chain import CHAIN
from pipeline.saga.sweep import Tick
from tests.support.harness import OWNER, Shelf, Works
from tests.support.rivals import Crowd, Gate, at_once, count_events, hold, pump_both
from tests.support.workbench import NOTHING, Spy, read_bank, settle

PHASES = {phase.name: phase for phase in CHAIN}
AUTHORIZATION, CAPTURE = PHASES["payment_authorization"], PHASES["payment_capture"]


def watch(works: Works) -> Spy:
    """Put a spy between the engine and its bank."""
    spy = Spy(works.gateway)
    works.executor.close()
    works.use(spy, backlog=works.line)
    return spy


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_capture_on_its_way_refuses_the_cancellation(
    where: str, works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given a capture that is out at the bank
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until="payment_capture")
    gate = Gate(watch(works), "capture", where)
    capture = crowd.begin(works.pump)
    gate.wait()
    # When
    with pytest.raises(Conflict) as refusal:
        rival.service.cancel(checkout_id, OWNER)
    gate.open()
    capture.result(10)
    # Then
    assert refusal.value.code is Code.PAST_PIVOT
    assert works.status(checkout_id).state == "completed"
    assert read_bank(shelf.engine, checkout_id) == Totals(0, 500, 0)
    assert shelf.stock("cup") == (1, 0)


def test_a_cancellation_that_is_first_leaves_nothing_to_capture(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until="payment_capture")
    spy = watch(works)
    # When the capture comes while the cancellation has not committed
    with shelf.engine.begin() as connection:
        intake.cancel(connection, checkout_id, OWNER, works.settings)
        capture = crowd.begin_blocked(lambda: works.runner.run(CAPTURE, [checkout_id]))
    capture.result(10)
    # Then the bank is not asked
    assert spy.calls == []
    assert settle(works, [checkout_id]) == ["cancelled"]
    assert read_bank(shelf.engine, checkout_id) == NOTHING
    assert shelf.rows("SELECT kind, amount_minor FROM sandbox.entries ORDER BY id") == [
        ("authorize", 500),
        ("cancel", 500),
    ]
    assert shelf.rows("SELECT state, number FROM orders") == [("cancelled", None)]
    assert shelf.stock("cup") == (3, 0)


def test_cancellations_and_captures_begun_in_one_instant_agree_with_the_bank(
    works: Works, rival: Works, shelf: Shelf
) -> None:
    # Given
    shelf.add_variant("cup", stock=20)
    ids = [works.start(shelf.add_cart(("cup", 1)), token="tok_ok") for _ in range(20)]
    works.pump(until="payment_capture")
    works.line.lose_all()
    # When each is cancelled while it is captured
    answers = [
        at_once(partial(works.runner.run, CAPTURE, [id_]), partial(rival.service.cancel, id_, OWNER))[1] for id_ in ids
    ]
    pump_both(works, rival)
    settle(works, ids)
    # Then whoever was told "too late" has an order, and nobody else
    won = [isinstance(answer, Conflict) for answer in answers]
    assert works.states(ids) == ["completed" if each else "cancelled" for each in won]
    assert [read_bank(shelf.engine, id_) for id_ in ids] == [Totals(0, 250, 0) if each else NOTHING for each in won]
    assert shelf.stock("cup") == (20 - won.count(True), 0)


@pytest.mark.parametrize(
    ("where", "entries", "late"),
    [
        ("before", [], "Declined"),  # the bank sees the cancellation first
        ("after", [("authorize", 500), ("cancel", 500)], "Succeeded"),
    ],
)
def test_an_authorisation_on_its_way_is_voided_by_the_cancellation(
    where: str,
    entries: list[tuple[str, int]],
    late: str,
    works: Works,
    rival: Works,
    crowd: Crowd,
    shelf: Shelf,
) -> None:
    # Given
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until="payment_authorization")
    gate = Gate(watch(works), "authorize", where)
    authorization = crowd.begin(works.pump)
    gate.wait()
    # When it is cancelled and wholly unwound by another process in the meantime
    rival.service.cancel(checkout_id, OWNER)
    rival.pump()
    assert rival.states([checkout_id]) == ["cancelled"]
    assert shelf.stock("cup") == (3, 0)
    sent, due_at = len(works.line.sent), shelf.row("SELECT due_at FROM checkouts").due_at
    # ... and only then the answer arrives
    gate.open()
    authorization.result(10)
    # Then it is written down, nothing is held, and nobody is called on for it
    assert (len(works.line.sent), shelf.row("SELECT due_at FROM checkouts").due_at) == (sent, due_at)
    assert shelf.rows("SELECT data ->> 'answer' FROM events WHERE kind = 'payment.late_answer'") == [(late,)]
    assert shelf.rows("SELECT kind, amount_minor FROM sandbox.entries ORDER BY id") == entries
    assert shelf.rows("SELECT kind, status, code FROM payment_operations ORDER BY id") == [
        ("open", "succeeded", None),
        ("authorize", "declined", "settled_by_cancel"),
        ("void", "succeeded", None),
    ]
    assert works.states([checkout_id]) == ["cancelled"]


def test_an_object_being_opened_is_awaited_and_then_cancelled(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given an object that the bank has opened and whose reference we have not heard yet
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until="payment_authorization")
    gate = Gate(watch(works), "open", "after")
    opening = crowd.begin(works.pump)
    gate.wait()
    # When it is cancelled meanwhile
    rival.service.cancel(checkout_id, OWNER)
    rival.pump()
    # Then the unwind waits for the caller
    assert rival.states([checkout_id]) == ["unwinding"]
    assert shelf.stock("cup") == (3, 2)
    # When
    gate.open()
    opening.result(10)
    # Then the unwind is called on at once, and the one object cancelled, by the reference that came late
    assert [send.queue for send in works.line.sent[-2:]] == [PHASES["payment_authorization"].queue, UNWIND]
    assert settle(rival, [checkout_id]) == ["cancelled"]
    assert shelf.rows("SELECT status, authorized_minor FROM sandbox.payments") == [("cancelled", 0)]
    assert shelf.rows("SELECT kind FROM payment_operations ORDER BY id") == [("open",), ("void",)]
    assert count_events(shelf.engine, "payment.late_answer", [checkout_id]) == 1


def test_an_answer_that_comes_late_calls_the_unwind_beside_one_in_time(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given two objects that the bank has opened and whose references we have not heard yet
    shelf.add_variant("cup", stock=3)
    late, timely = (works.start(shelf.add_cart(("cup", 1)), token="tok_ok") for _ in range(2))
    works.pump(until="payment_authorization")
    gate = Gate(watch(works), "open", "after")
    opening = crowd.begin(works.pump)
    gate.wait()
    # When one is cancelled meanwhile, and both answers come
    rival.service.cancel(late, OWNER)
    gate.open()
    opening.result(10)
    # Then the one is called back, and the other goes on
    assert UNWIND in [send.queue for send in works.line.sent if send.subject_id == late]
    assert settle(rival, [late, timely]) == ["cancelled", "completed"]


def test_a_payment_that_is_first_keeps_the_sweep_from_expiring(works: Works, rival: Works, shelf: Shelf) -> None:
    # Given a checkout whose time is up in an instant
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)))
    works.pump()
    shelf.run("UPDATE checkouts SET expires_at = now() + interval '50 milliseconds'")
    request = ProcessRequest(
        owner=OWNER, checkout_id=checkout_id, idempotency_key="key-1", payment=PaymentInput(token="tok_ok")
    )
    # When the sweep comes after that instant, and the payment has not committed
    with shelf.engine.begin() as connection:
        admitted = intake.process(connection, request, works.settings)
        connection.execute(text("SELECT pg_sleep(0.06)"))
        counts = rival.sweep()
    works.line.send(admitted.messages)
    works.pump()
    # Then
    assert counts.expired == 0
    assert rival.sweep().expired == 0
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(shelf.engine, checkout_id) == Totals(0, 500, 0)


def test_an_expiry_that_is_first_refuses_the_payment(works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)))
    works.pump()
    shelf.run("UPDATE checkouts SET expires_at = now()")
    # When the payment comes while the expiry has not committed
    with shelf.engine.begin() as connection:
        swept = Tick(works.settings).expire(connection)
        payment = crowd.begin_blocked(lambda: rival.pay(checkout_id))
    error = payment.exception(10)
    works.line.send(swept.messages)
    works.pump()
    # Then
    assert isinstance(error, Conflict)
    assert (error.code, error.detail["state"]) == (Code.CHECKOUT_ENDED, "unwinding")
    assert works.states([checkout_id]) == ["expired"]
    assert shelf.rows("SELECT count(*) FROM payments") == [(0,)]
    assert shelf.stock("cup") == (3, 0)


def test_the_sweep_leaves_alone_what_a_worker_is_working_on(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given a worker in the middle of its transaction, with a checkout that is both overdue and out of time
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)))
    works.pump(until="inventory_reservation")
    shelf.run("UPDATE checkouts SET expires_at = now(), due_at = now(), sent_at = now() - interval '1 day'")
    with hold(shelf.engine, "SELECT FROM stock_levels FOR UPDATE"):
        working = crowd.begin_blocked(works.pump)
        # When
        counts = rival.sweep()
    working.result(10)
    # Then
    assert (counts.resent, counts.expired, rival.line.sent) == (0, 0, [])
    assert works.status(checkout_id).phases_completed == 3
    # and it expires as soon as the worker lets go
    assert rival.sweep().expired == 1
    rival.pump()
    assert works.states([checkout_id]) == ["expired"]


def test_the_sweep_leaves_alone_what_is_at_the_bank(works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until="payment_authorization")
    gate = Gate(watch(works), "authorize", "after")
    working = crowd.begin(works.pump)
    gate.wait()
    # When its time is up while the call is out, and even when its message is there once more
    shelf.run("UPDATE checkouts SET expires_at = now()")
    counts = rival.sweep()
    rival.runner.run(AUTHORIZATION, [checkout_id])
    gate.open()
    working.result(10)
    # Then nobody expired it, and nobody called a second time
    assert (counts.expired, counts.resent, counts.scheduled) == (0, 0, 0)
    assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows("SELECT key, calls FROM sandbox.requests ORDER BY created_at") == [
        (f"{checkout_id}:{kind}:1", 1) for kind in ("open", "authorize", "capture")
    ]
    assert shelf.rows("SELECT amount_minor FROM sandbox.entries WHERE kind = 'capture'") == [(500,)]


def test_two_sweeps_at_once_call_each_checkout_once(works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given fifty checkouts whose messages are lost, and sweeps that take thirty at a time
    shelf.add_variant("cup", stock=50)
    ids = [works.start(shelf.add_cart(("cup", 1)), token="tok_ok") for _ in range(50)]
    works.line.lose_all()
    works.line.sent.clear()
    shelf.run("UPDATE checkouts SET due_at = now()")
    works.settings = rival.settings = works.settings.model_copy(update={"sweep_limit": 30})
    # When both have locked what they take, and neither has committed
    with hold(shelf.engine, "LOCK TABLE events IN EXCLUSIVE MODE"):
        sides = [crowd.begin_blocked(works.sweep), crowd.begin_blocked(rival.sweep)]
    counts = [side.result(10).resent for side in sides]
    # Then
    assert counts == [30, 20]
    assert Counter(send.subject_id for send in (*works.line.sent, *rival.line.sent)) == dict.fromkeys(ids, 1)
    assert count_events(shelf.engine, "sweep.resent", ids) == 50
    pump_both(works, rival)
    assert Counter(works.states(ids)) == {"completed": 50}
    assert count_events(shelf.engine, "checkout.phase_completed", ids) == 350


def test_an_ended_checkout_that_is_looked_at_again_survives_a_lost_message(works: Works, shelf: Shelf) -> None:
    # Given one that ended, and is due once more, as after a late answer
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until="order_creation")
    works.service.cancel(checkout_id, OWNER)
    works.pump()
    shelf.run("UPDATE checkouts SET due_at = now(), due_reason = 'scheduled'")
    # When its message is lost
    assert works.sweep().scheduled == 1
    works.line.lose_all()
    shelf.run("UPDATE checkouts SET due_at = now()")
    # Then it is called again, until somebody has looked
    assert works.sweep().scheduled == 1
    works.pump()
    assert shelf.rows("SELECT state, due_at > now() + interval '50 seconds' FROM checkouts") == [("cancelled", True)]
