"""Which transitions exist."""

from models.states import ACTIVE, ENDINGS, TERMINAL, TRANSITIONS, CheckoutState
from pipeline.saga import CHAIN
from pipeline.saga.chain import first_undo, next_phase, undoable

S = CheckoutState


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(S)
    assert set(S) == ACTIVE | TERMINAL
    assert not ACTIVE & TERMINAL


def test_the_transitions_are_these() -> None:
    assert {
        S.RUNNING: {S.AWAITING_PAYMENT, S.ACTION_REQUIRED, S.COMPLETED, S.UNWINDING, S.NEEDS_REVIEW},
        S.AWAITING_PAYMENT: {S.RUNNING, S.UNWINDING},
        S.ACTION_REQUIRED: {S.RUNNING, S.UNWINDING},
        S.UNWINDING: {S.FAILED, S.CANCELLED, S.EXPIRED, S.NEEDS_REVIEW},
        S.NEEDS_REVIEW: {S.RUNNING, S.UNWINDING},
        S.COMPLETED: frozenset(),
        S.FAILED: frozenset(),
        S.CANCELLED: frozenset(),
        S.EXPIRED: frozenset(),
    } == TRANSITIONS


def test_an_end_is_an_end_and_can_be_reached_from_everywhere() -> None:
    assert all(not TRANSITIONS[state] for state in TERMINAL)
    for state in ACTIVE:
        reached, frontier = set[CheckoutState](), {state}
        while frontier:
            reached |= frontier
            frontier = {new for old in frontier for new in TRANSITIONS[old]} - reached
        assert reached >= ENDINGS


def test_only_running_completes() -> None:
    assert [state for state in S if S.COMPLETED in TRANSITIONS[state]] == [S.RUNNING]


def test_the_chain_is_numbered() -> None:
    assert [phase.number for phase in CHAIN] == [1, 2, 3, 4, 5, 6, 7]
    assert [phase.queue for phase in CHAIN] == [
        "checkout.cart_validation",
        "checkout.inventory_reservation",
        "checkout.price_lock",
        "checkout.payment_authorization",
        "checkout.order_creation",
        "checkout.payment_capture",
        "checkout.stock_commit",
    ]
    assert [phase.number for phase in CHAIN if phase.awaits_payment] == [3]
    assert [next_phase(completed).number for completed in range(7)] == [1, 2, 3, 4, 5, 6, 7]


def test_an_unwind_begins_at_the_newest_phase_that_may_have_written() -> None:
    assert [undoable(phase) for phase in CHAIN] == [False, True, True, True, True, True, False]
    # After 3 and 5 a gateway phase may have been in flight.
    assert [first_undo(completed) for completed in range(8)] == [0, 0, 2, 4, 4, 6, 6, 6]
