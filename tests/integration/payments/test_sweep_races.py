"""The sweep beside payments."""

from collections import Counter

from sqlalchemy import text

from pipeline.errors import Code, Conflict
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.intake import PaymentInput, ProcessRequest
from pipeline.intake import commands as intake
from pipeline.saga.sweep import Tick
from tests.integration.payments.watching import AUTHORIZATION, watch
from tests.support.harness import OWNER, Shelf, Works
from tests.support.rivals import Crowd, Gate, count_events, hold, pump_both
from tests.support.workbench import read_bank


def test_a_payment_that_is_first_keeps_the_sweep_from_expiring(works: Works, rival: Works, shelf: Shelf) -> None:
    # Given a checkout whose time is up in a second
    shelf.add_variant("cup", stock=3)
    checkout_id = works.start(shelf.add_cart(("cup", 2)))
    works.pump()
    shelf.run("UPDATE checkouts SET expires_at = now() + interval '1 second'")
    request = ProcessRequest(
        owner=OWNER, checkout_id=checkout_id, idempotency_key="key-1", payment=PaymentInput(token="tok_ok")
    )
    # When the sweep comes after that second, and the payment has not committed
    with shelf.engine.begin() as connection:
        admitted = intake.process(connection, request, works.settings)
        connection.execute(text("SELECT pg_sleep(1.05)"))
        counts = rival.sweep()
    works.line.send(admitted.messages)
    works.pump()
    # Then
    assert counts.expired == 0
    assert rival.sweep().expired == 0
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(shelf.engine, checkout_id) == BankTotals(0, 500, 0)


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
    assert (counts.redelivered, counts.expired, rival.line.sent) == (0, 0, [])
    assert works.status(checkout_id).phases_completed == 3
    # and it expires as soon as the worker is done
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
    # Then it is not expired, and no second call was made
    assert (counts.expired, counts.redelivered, counts.scheduled) == (0, 0, 0)
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
    counts = [side.result(10).redelivered for side in sides]
    # Then
    assert counts == [30, 20]
    assert Counter(send.subject_id for send in (*works.line.sent, *rival.line.sent)) == dict.fromkeys(ids, 1)
    assert count_events(shelf.engine, "sweep.redelivered", ids) == 50
    pump_both(works, rival)
    assert Counter(works.states(ids)) == {"completed": 50}
    assert count_events(shelf.engine, "checkout.phase_completed", ids) == 350


def test_an_ended_checkout_that_is_polled_again_survives_a_lost_message(works: Works, shelf: Shelf) -> None:
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
    # Then it is redelivered, until the poll is made
    assert works.sweep().scheduled == 1
    works.pump()
    assert shelf.rows("SELECT state, due_at > now() + interval '50 seconds' FROM checkouts") == [("cancelled", True)]
