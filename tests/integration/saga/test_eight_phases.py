"""A phase is one file and one line: with an eighth one in the chain, everything else goes on as before."""

import pytest

from models.states import PaymentStatus
from pipeline.saga.chain import CHAIN, find_phase, get_chain
from tests.integration.saga.eighth import NAME, FraudCheck, insert_phase
from tests.support.harness import Shelf, Works

COMPLETED = "SELECT phase FROM events WHERE kind = 'checkout.phase_completed' ORDER BY id"
UNDONE = "SELECT phase FROM events WHERE kind = 'checkout.phase_undone' ORDER BY id"


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> FraudCheck:
    """The eighth phase, between the price lock and the payment."""
    return insert_phase(monkeypatch, after="price_lock")


def test_the_phases_behind_it_move_by_one(check: FraudCheck) -> None:
    del check
    assert [phase.number for phase in get_chain()] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert find_phase(4).queue == "checkout.fraud_check"
    assert [phase.name for phase in get_chain() if phase.name != NAME] == [phase.name for phase in CHAIN]


def test_a_checkout_goes_through_all_eight(works: Works, shelf: Shelf, check: FraudCheck) -> None:
    # Given
    shelf.add_variant("cup", stock=3, price_minor=250)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert (status.state, status.phases_completed, status.phase_name) == ("completed", 8, "stock_commit")
    assert (status.total_minor, shelf.stock("cup")) == (500, (1, 0))
    assert [send.queue for send in works.line.sent] == [phase.queue for phase in get_chain()]
    assert [name for (name,) in shelf.rows(COMPLETED)] == [phase.name for phase in get_chain()]
    assert (check.done, check.undone) == ([checkout_id], [])
    assert works.sweep().redelivered == 0


def test_a_checkout_that_waits_for_the_buyer_goes_on_with_it(works: Works, shelf: Shelf, check: FraudCheck) -> None:
    # Given
    shelf.add_variant("cup", stock=3, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 2)))
    works.pump()
    assert (works.status(checkout_id).state, works.status(checkout_id).phases_completed) == ("awaiting_payment", 3)
    assert check.done == []
    # When a card is declined, it has passed the check already
    works.pay(checkout_id, "tok_declined")
    works.pump()
    status = works.status(checkout_id)
    assert (status.state, status.phases_completed) == ("awaiting_payment", 4)
    assert status.failure is not None
    assert status.failure.phase == "payment_authorization"
    # When
    works.pay(checkout_id, "tok_ok")
    works.pump()
    # Then
    assert (works.status(checkout_id).state, works.status(checkout_id).phases_completed) == ("completed", 8)
    assert check.done == [checkout_id]


def test_its_no_undoes_what_came_before(works: Works, shelf: Shelf, check: FraudCheck) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 4)), token="tok_ok")
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert (status.state, status.phases_completed, status.order_number) == ("failed", 0, None)
    assert status.failure is not None
    assert (status.failure.code, status.failure.phase) == ("total_too_large", NAME)
    assert [name for (name,) in shelf.rows(UNDONE)] == ["price_lock", "inventory_reservation"]
    assert (shelf.stock("cup"), check.undone) == ((9, 0), [])


def test_it_is_undone_when_a_later_phase_says_no(works: Works, shelf: Shelf, check: FraudCheck) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_declined")
    works.pump()
    # Then
    assert (works.status(checkout_id).state, works.status(checkout_id).phases_completed) == ("failed", 0)
    assert [name for (name,) in shelf.rows(UNDONE)] == [
        "payment_authorization",
        NAME,
        "price_lock",
        "inventory_reservation",
    ]
    assert (shelf.stock("cup"), check.undone) == ((9, 0), [checkout_id])


def test_its_no_after_the_capture_refunds(works: Works, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    insert_phase(monkeypatch, after="payment_capture")
    shelf.add_variant("cup", stock=9, price_minor=250)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 4)), token="tok_ok")
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert (status.state, status.phases_completed) == ("failed", 0)
    assert [name for (name,) in shelf.rows(UNDONE)] == [
        "payment_capture",
        "order_creation",
        "payment_authorization",
        "price_lock",
        "inventory_reservation",
    ]
    assert shelf.rows("SELECT status FROM payments") == [(PaymentStatus.REFUNDED,)]
    assert shelf.stock("cup") == (9, 0)


@pytest.mark.parametrize("lost", [NAME, "stock_commit"])
def test_the_sweep_redelivers_to_its_queue_and_to_the_last(
    works: Works, shelf: Shelf, check: FraudCheck, lost: str
) -> None:
    # Given
    shelf.add_variant("cup", stock=3, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until=lost)
    works.line.lose_all()
    shelf.run("UPDATE checkouts SET sent_at = sent_at - interval '1 hour', due_at = now()")
    # When
    assert works.sweep().redelivered == 1
    works.pump()
    # Then
    assert (works.status(checkout_id).state, works.status(checkout_id).phases_completed) == ("completed", 8)
    assert check.done == [checkout_id]
