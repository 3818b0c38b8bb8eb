"""Baskets are processed by lines: no transaction has too many, small ones come first, waiting messages are served."""

from collections.abc import Iterator
from itertools import chain
from typing import cast
from uuid import UUID, uuid4

import pytest
from dramatiq import Message
from sqlalchemy import Engine

from pipeline.messaging import INTAKE, UNWIND
from pipeline.saga import CHAIN
from pipeline.saga.chain import TransactionPhase
from pipeline.saga.loads import Load, Loads
from pipeline.settings import Settings
from tests.support.harness import ADDRESS, OWNER, Shelf, Works
from tests.support.patience import PATIENT_BANK
from tests.support.workbench import build_audited, read_events
from workers.actors import declare_actors
from workers.bootstrap import Components, build_components
from workers.intake import admit

#: Of a transaction, here.
MOST_LINES = 10
#: Those phases that work on lines; a gateway's answer is the same for any number of them.
LINE_PHASES = [phase.name for phase in CHAIN if isinstance(phase.work, TransactionPhase)]


@pytest.fixture
def fair(engine: Engine, settings: Settings, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Works]:
    """An engine whose transactions have ten lines, and goods for it. Waiting messages are seen; none waits too long.

    Its gateway has the time that a busy machine takes: an answer that came too late would be left to the sweep, and one
    that came later than its neighbours to another transaction.
    """
    monkeypatch.setattr("pipeline.payments.gateway_calls.GATHER_SECONDS", PATIENT_BANK["gateway_timeout_seconds"])
    for number in range(12):
        shelf.add_variant(f"cup-{number}", stock=500)
    own = {"batch_lines": MOST_LINES, "redeliver_after_seconds": 60, **PATIENT_BANK}
    with build_audited(engine, settings.model_copy(update=own)) as works:
        yield works


def start(works: Works, shelf: Shelf, *line_counts: int, token: str = "tok_ok") -> list[UUID]:
    """Start checkouts of so many lines."""
    return [
        works.start(shelf.add_cart(*((f"cup-{number}", 1) for number in range(count))), token=token)
        for count in line_counts
    ]


def read_order(shelf: Shelf, kind: str, phase: str) -> list[list[UUID]]:
    """Return the checkouts to which this happened, one list a transaction, in the order of the transactions."""
    rows = shelf.rows("SELECT at, checkout_id FROM events WHERE kind = :k AND phase = :p ORDER BY id", k=kind, p=phase)
    return [[id_ for when, id_ in rows if when == at] for at in dict.fromkeys(at for at, _ in rows)]


def test_the_number_of_lines_is_known_from_the_start(fair: Works, shelf: Shelf) -> None:
    ids = start(fair, shelf, 1, 9)
    empty = fair.start(shelf.add_cart(), token="tok_ok")
    counts = dict(shelf.rows("SELECT id, line_count FROM checkouts"))
    assert [counts[each] for each in (*ids, empty)] == [1, 9, 0]
    fair.pump()
    assert fair.states([*ids, empty]) == ["completed", "completed", "failed"]


def test_no_transaction_has_too_many_lines_and_the_small_come_first(fair: Works, shelf: Shelf) -> None:
    # Given five large baskets, and three small ones that came after them
    large, small = start(fair, shelf, *(8,) * 5), start(fair, shelf, 1, 2, 1)
    # When all of them are worked on in one batch
    fair.pump()
    # Then each phase that works on lines did the small ones first and together, the large ones one at a time by age
    for phase in LINE_PHASES:
        assert read_order(shelf, "checkout.phase_completed", phase) == [small, *([each] for each in large)], phase
    assert fair.states([*large, *small]) == ["completed"] * 8


def test_what_fits_goes_together(fair: Works, shelf: Shelf) -> None:
    ids = start(fair, shelf, 5, 1, 4)
    fair.pump()
    for phase in LINE_PHASES:
        assert read_order(shelf, "checkout.phase_completed", phase) == [ids], phase


def test_a_gateway_is_called_for_large_baskets_together(fair: Works, shelf: Shelf) -> None:
    ids = start(fair, shelf, *(8,) * 3)
    fair.pump(until="payment_authorization")
    fair.line.sent.clear()
    fair.run_phase("payment_authorization")
    # One batch: none of them was left to a later one.
    assert sorted(send.subject_id for send in fair.line.sent) == ids
    fair.pump()


def test_large_baskets_yield_to_waiting_messages(fair: Works, shelf: Shelf) -> None:
    # Given four large baskets in a batch, and one small behind them in the queue
    large, [small] = start(fair, shelf, *(8,) * 4), start(fair, shelf, 1)
    queue = "checkout.cart_validation"
    assert fair.run_phase("cart_validation", batch=4) == 4
    # Then one of them was worked on, and the others wait behind the small one, each with one message
    assert read_order(shelf, "checkout.phase_completed", "cart_validation") == [[large[0]]]
    assert [send.subject_id for send in fair.line.waiting[queue]] == [small, *large[1:]]
    # And nothing of them counts as lost
    shelf.run("UPDATE checkouts SET due_at = now() - interval '1 second'")
    assert fair.sweep().redelivered == 0
    assert shelf.rows("SELECT DISTINCT attempts FROM checkouts") == [(0,)]
    # When the next batch comes, it begins with the small one
    fair.pump()
    assert read_order(shelf, "checkout.phase_completed", "cart_validation") == [
        [each] for each in (large[0], small, *large[1:])
    ]
    assert fair.states([*large, small]) == ["completed"] * 5


def test_the_rest_of_many_small_baskets_yields_as_well(fair: Works, shelf: Shelf) -> None:
    # Given twelve baskets of three lines in a batch, and one behind them
    many, [late] = start(fair, shelf, *(3,) * 12), start(fair, shelf, 1)
    fair.run_phase("cart_validation", batch=12)
    # Then two transactions were made before the waiting message was served
    assert read_order(shelf, "checkout.phase_completed", "cart_validation") == [many[:3], many[3:6]]
    assert [send.subject_id for send in fair.line.waiting["checkout.cart_validation"]] == [late, *many[6:]]
    fair.pump()
    assert fair.states([*many, late]) == ["completed"] * 13


def test_undoing_yields_too(fair: Works, shelf: Shelf) -> None:
    # Given four large baskets whose capture is declined, and a small one behind them that unwinds
    large = start(fair, shelf, *(8,) * 4, token="tok_declined")
    [small] = start(fair, shelf, 1, token="tok_declined")
    fair.pump(until="payment_authorization")
    fair.run_phase("payment_authorization")
    assert [send.subject_id for send in fair.line.waiting[UNWIND]] == [*large, small]
    # When a batch of the large ones is undone
    fair.unwinder.run(fair.line.take(UNWIND, 4))
    # Then one of them is, and the others wait behind the small one
    assert fair.states([*large, small]) == ["failed", *["unwinding"] * 4]
    assert [send.subject_id for send in fair.line.waiting[UNWIND]] == [small, *large[1:]]
    fair.pump()
    assert fair.states([*large, small]) == ["failed"] * 5
    assert read_order(shelf, "checkout.phase_undone", "inventory_reservation") == [
        [each] for each in (large[0], small, *large[1:])
    ]
    assert [shelf.stock(f"cup-{number}") for number in range(12)] == [(500, 0)] * 12


def test_large_baskets_get_through_while_small_ones_always_wait(fair: Works, shelf: Shelf) -> None:
    # Given five large baskets of different sizes, the largest the oldest
    large = start(fair, shelf, 12, 10, 9, 8, 7)
    # When a small one comes before each batch
    for _ in range(5):
        start(fair, shelf, 1, 1)
        fair.line.waiting["checkout.cart_validation"].rotate(1)
        fair.run_phase("cart_validation", batch=len(fair.line.waiting["checkout.cart_validation"]) - 1)
    # Then each batch included the oldest large one
    done = list(chain(*read_order(shelf, "checkout.phase_completed", "cart_validation")))
    assert [each for each in done if each in large] == large
    fair.pump()


def test_a_group_that_waits_too_long_for_a_turn_waits_in_the_queue(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    # Given a stall bound that ends at once, and three large baskets with no message behind them
    shelf.add_variant("cup", stock=100)
    hasty = settings.model_copy(update={"batch_lines": 1, "redeliver_after_seconds": 1e-6, **PATIENT_BANK})
    with build_audited(engine, hasty) as works:
        ids = [works.start(shelf.add_cart(("cup", 1), ("cup", 1)), token="tok_ok") for _ in range(3)]
        # When a batch of them is worked on
        works.run_phase("cart_validation")
        # Then the second and third wait in the queue again, instead of in memory past their time
        assert [send.subject_id for send in works.line.waiting["checkout.cart_validation"]] == ids[1:]
        works.pump()
        assert works.states(ids) == ["completed"] * 3
        assert [kind for kind, _ in chain(*(read_events(engine, each) for each in ids))].count("sweep.redelivered") == 0


def refuse(*_given: object) -> None:
    """What must not be called."""
    raise AssertionError


def test_one_thread_carries_what_others_bring() -> None:
    # Given a thread that carries, and one that brings more meanwhile
    loads: Loads[str] = Loads()
    done: list[str] = []

    def work(load: Load[str]) -> None:
        done.append(load.way)
        if load.way == "first":
            # Then it is free at once
            loads.work_on([Load([], "third")], refuse, refuse)
            assert done == ["first"]

    loads.work_on([Load([], "first"), Load([], "second")], work, lambda: None)
    assert done == ["first", "second", "third"]
    # And when all is done, the next that brings something carries it
    loads.work_on([Load([], "fourth")], work, refuse)
    assert done[3:] == ["fourth"]


def test_a_thread_that_fails_leaves_the_next_one_to_carry() -> None:
    loads: Loads[str] = Loads()
    with pytest.raises(AssertionError):
        loads.work_on([Load([], "a"), Load([], "b")], refuse, refuse)
    done: list[str] = []
    loads.work_on([Load([], "c")], lambda load: done.append(load.way), refuse)
    assert done == ["c"]


@pytest.fixture
def service(settings: Settings) -> Iterator[Components]:
    """A worker's engine whose transactions have ten lines."""
    built = build_components(settings.model_copy(update={"batch_lines": MOST_LINES}), "worker")
    declare_actors(built)
    yield built
    built.close()


def request(line_count: int) -> dict[str, object]:
    """A queued request that brings along a cart of so many lines."""
    lines = [{"sku": f"cup-{number}", "quantity": 1} for number in range(line_count)]
    cart = {"id": str(uuid4()), "currency": "EUR", "shipping_address": ADDRESS, "lines": lines}
    return {"owner": OWNER, "idempotency_key": str(uuid4()), "cart": cart, "payment": {"token": "tok_ok"}}


def read_intake(shelf: Shelf) -> list[list[int]]:
    """Return the line counts of what was started, one list a transaction, in the order of the transactions."""
    rows = shelf.rows("SELECT created_at, line_count FROM checkouts ORDER BY created_at, id")
    return [[count for when, count in rows if when == at] for at in dict.fromkeys(at for at, _ in rows)]


def test_requests_are_started_by_lines_too(fair: Works, service: Components, shelf: Shelf) -> None:
    # Given large requests before small ones, and no message behind them
    admit(service, [request(9), request(1), request(8), request(2), {"cart": {"lines": "none"}}, {"cart": [1]}])
    # Then the small ones, and what cannot be read, came first
    assert [sorted(each) for each in read_intake(shelf)] == [[1, 2], [9], [8]]
    assert shelf.row("SELECT count(*) AS n FROM rejected_messages").n == 2
    assert shelf.row("SELECT count(*) AS n FROM carts").n == 4


def test_large_requests_yield_and_none_is_lost(fair: Works, service: Components, shelf: Shelf) -> None:
    # Given a message behind them
    late = request(1)
    service.broker.enqueue(service.broker.get_actor("intake").message(late))
    large = [request(9), request(8), request(7), request(6)]
    admit(service, large)
    # Then two were started, and two wait behind it as they came
    assert read_intake(shelf) == [[6], [9]]
    client = service.broker.client
    ids = client.lrange("dramatiq:checkout.intake", 0, -1)
    stored = cast("list[bytes]", client.hmget("dramatiq:checkout.intake.msgs", ids))
    waiting = [Message.decode(data).args[0] for data in stored]
    started = {str(row[0]) for row in shelf.rows("SELECT cart_id FROM checkouts")}
    assert waiting == [late, *(each for each in large if each["cart"]["id"] not in started)]  # type: ignore[index]
    # When what waits is processed twice, with no message behind it
    service.broker.client.flushdb()
    for _ in range(2):
        admit(service, waiting)
    # Then each is started once
    assert shelf.row("SELECT count(*) AS n FROM checkouts").n == 5
    assert service.backlog.heads([INTAKE]) == {}


def test_large_requests_go_on_when_they_cannot_be_sent_back(
    fair: Works, service: Components, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a waiting message, and a Redis that is down when something is sent
    service.broker.enqueue(service.broker.get_actor("intake").message(request(1)))
    monkeypatch.setattr(type(service.broker), "_send", lambda *_: (_ for _ in ()).throw(ConnectionError("gone")))
    admit(service, [request(9), request(8), request(7)])
    # Then all of them are started here
    assert sorted(chain(*read_intake(shelf))) == [7, 8, 9]
