"""Two requests for one cart at one moment, from two processes: one begins it, the other is not given its result."""

from collections import Counter
from functools import partial
from typing import Any

from sqlalchemy import Engine

from pipeline.errors import Code, Conflict
from pipeline.intake.requests import PaymentInput, StartRequest
from pipeline.intake.result import CommandResult
from tests.support.harness import OWNER, Shelf, Works
from tests.support.rivals import Crowd, at_once, hold, hold_checkout, pump_both
from tests.support.workbench import read_bank


def report(answers: list[Any]) -> Counter[str]:
    """Count what became of the requests."""
    return Counter(each.code if isinstance(each, Conflict) else type(each).__name__ for each in answers)


def test_a_bad_card_and_a_good_one_for_one_cart(works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given two requests that wait for the cart
    shelf.add_variant("cup", stock=5, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    with hold(shelf.engine, "SELECT FROM carts WHERE id = :id FOR UPDATE", id=cart_id):
        bad = crowd.begin_blocked(partial(works.start, cart_id, token="tok_declined", idempotency_key="k1"))
        good = crowd.begin_blocked(partial(rival.start, cart_id, token="tok_ok", idempotency_key="k2"))
    # Then the second is refused, and has written nothing
    bad_id = bad.result(10)
    refusal = good.exception(10)
    assert isinstance(refusal, Conflict)
    assert (refusal.code, refusal.detail["checkout_id"]) == (Code.CHECKOUT_BUSY, str(bad_id))
    assert shelf.rows("SELECT key FROM idempotency_keys") == [("k1",)]
    # When the first has come to nothing, the same request with the same key buys
    pump_both(works, rival)
    good_id = rival.start(cart_id, token="tok_ok", idempotency_key="k2")
    pump_both(works, rival)
    assert works.states([bad_id, good_id]) == ["failed", "completed"]
    assert shelf.rows("SELECT key, checkout_id FROM idempotency_keys ORDER BY key") == [("k1", bad_id), ("k2", good_id)]
    assert shelf.stock("cup") == (4, 0)


def test_two_payments_for_one_checkout(works: Works, rival: Works, crowd: Crowd, shelf: Shelf, engine: Engine) -> None:
    # Given two payments that wait for the checkout
    shelf.add_variant("cup", stock=5, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    with hold_checkout(shelf.engine, checkout_id):
        bad = crowd.begin_blocked(partial(works.pay, checkout_id, "tok_declined", idempotency_key="k1"))
        good = crowd.begin_blocked(partial(rival.pay, checkout_id, "tok_ok", idempotency_key="k2"))
    # Then
    assert bad.result(10).changed
    refusal = good.exception(10)
    assert isinstance(refusal, Conflict)
    assert refusal.code is Code.CHECKOUT_BUSY
    # When the first card was declined, the second pays under its own key
    pump_both(works, rival)
    assert works.states([checkout_id]) == ["awaiting_payment"]
    assert rival.pay(checkout_id, "tok_ok", idempotency_key="k2").changed
    pump_both(works, rival)
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(engine, checkout_id).captured_minor == 250


def test_fifty_pairs_begun_in_one_instant_are_never_given_each_others_result(
    works: Works, rival: Works, shelf: Shelf
) -> None:
    # Given fifty carts, each bought twice at once: with two cards, and for two totals of which one is right
    shelf.add_variant("cup", stock=50, price_minor=250)
    carts = [shelf.add_cart(("cup", 1)) for _ in range(50)]

    def ask(side: Works, number: int, key: str, *, first: bool) -> CommandResult:
        token, total = ("tok_ok", 250) if first else (("tok_other", 250) if number % 2 else ("tok_ok", 19500))
        payment = PaymentInput(token=token)
        return side.service.start(
            StartRequest(
                owner=OWNER,
                cart_id=carts[number],
                idempotency_key=f"{key}-{number}",
                payment=payment,
                expected_total_minor=total,
            )
        )

    # When
    answers = [
        at_once(partial(ask, works, number, "a", first=True), partial(ask, rival, number, "b", first=False))
        for number in range(50)
    ]
    # Then one of each pair is admitted, and the other is refused and bound to nothing
    for number, pair in enumerate(answers):
        assert report(pair) == {"CommandResult": 1, "checkout_busy" if number % 2 else "checkout_active": 1}
    assert shelf.rows("SELECT count(*), count(DISTINCT checkout_id) FROM idempotency_keys") == [(50, 50)]
    pump_both(works, rival)


def test_of_two_messages_in_one_batch_the_second_is_refused_by_name(works: Works, shelf: Shelf) -> None:
    # Given messages for one cart, the last of which say something else
    shelf.add_variant("cup", stock=5, price_minor=250)
    shelf.add_variant("pot", stock=5, price_minor=100)
    cart_id, other = shelf.add_cart(("cup", 1)), shelf.add_cart(("pot", 1))

    def ask(key: str, token: str, **others: Any) -> StartRequest:
        return StartRequest(
            owner=OWNER,
            idempotency_key=key,
            payment=PaymentInput(token=token),
            **{"cart_id": cart_id, **others},
        )

    # When
    answers = works.service.start_many(
        [
            ask("k1", "tok_ok"),
            ask("k2", "tok_ok"),
            ask("k3", "tok_declined"),
            ask("k4", "tok_ok", reference="4711"),
            ask("k5", "tok_ok", cart_id=other),
        ]
    )
    # Then its neighbours go on
    assert report(answers) == {"CommandResult": 3, "checkout_busy": 1, "checkout_active": 1}
    first, same, *_ = answers
    assert isinstance(first, CommandResult)
    assert isinstance(same, CommandResult)
    assert (first.checkout_id, first.changed, same.changed) == (same.checkout_id, True, False)
    works.pump()
    assert shelf.rows("SELECT state, count(*) FROM checkouts GROUP BY 1") == [("completed", 2)]
    assert shelf.rows("SELECT key FROM idempotency_keys ORDER BY 1") == [("k1",), ("k2",), ("k5",)]
