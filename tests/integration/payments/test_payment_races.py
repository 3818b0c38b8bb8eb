"""A cancellation, an expiry, a sweep meet a payment on its way: one of them wins, and money and order say the same."""

from functools import partial

import pytest

from pipeline.errors import Code, Conflict
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.intake import commands as intake
from pipeline.messaging import UNWIND
from tests.integration.payments.watching import CAPTURE, PHASES, watch
from tests.support.harness import OWNER, Shelf, Works
from tests.support.rivals import Crowd, Gate, at_once, count_events, pump_both
from tests.support.workbench import NOTHING, read_bank, settle


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
    assert read_bank(shelf.engine, checkout_id) == BankTotals(0, 500, 0)
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
    # Then exactly the checkouts that were rejected as too late have an order
    won = [isinstance(answer, Conflict) for answer in answers]
    assert works.states(ids) == ["completed" if each else "cancelled" for each in won]
    assert [read_bank(shelf.engine, id_) for id_ in ids] == [BankTotals(0, 250, 0) if each else NOTHING for each in won]
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
    # Then it is stored, nothing is reserved, and no message is sent for it
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
