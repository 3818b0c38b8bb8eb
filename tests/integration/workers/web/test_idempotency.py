"""One payment for one key, and the stored response for every repeat."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import httpx2
import pytest

from pipeline.intake import PaymentInput, ProcessRequest, StartRequest
from pipeline.intake.idempotency import IdempotentRequest
from pipeline.intake.requests import fingerprint
from pipeline.intake.result import CommandResult
from tests.integration.workers.web.stage import BODY, Stage, held_stock, pay, put_cart, spin_until, start
from tests.support.harness import OWNER


def same(first: httpx2.Response, again: httpx2.Response) -> None:
    """Assert that the second response is the stored first one, and says so."""
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    for name in ("content-type", "location", "preference-applied"):
        assert again.headers.get(name) == first.headers.get(name)


def money(stage: Stage) -> list[tuple[str, int]]:
    """Return what the bank has done."""
    return stage.shelf.rows("SELECT kind, count(*) FROM sandbox.entries GROUP BY kind ORDER BY kind")


def test_a_repeat_gets_the_stored_response(stage: Stage, cup: httpx2.Client) -> None:
    body = {"cart_id": put_cart(cup, ("cup", 1))}
    first = pay(cup, body, key="order-1")
    assert first.status_code == 200
    same(first, pay(cup, body, key="order-1"))
    same(first, pay(cup, body, key='"order-1"'))
    same(first, pay(cup, body, key="order-1", prefer={}))
    assert money(stage) == [("authorize", 1), ("capture", 1)]


@pytest.mark.parametrize(
    ("token", "quantity", "code"),
    [("tok_ok", 10, "out_of_stock"), ("tok_declined", 1, "payment_declined"), ("tok_ok", 0, "quantity_invalid")],
)
def test_a_refusal_is_remembered_too(stage: Stage, cup: httpx2.Client, token: str, quantity: int, code: str) -> None:
    body = {"cart_id": put_cart(cup, ("cup", quantity))}
    first = pay(cup, body, key="order-1", token=token)
    assert first.json()["code"] == code
    same(first, pay(cup, body, key="order-1", token=token))
    assert stage.shelf.rows("SELECT count(*) FROM checkouts") == [(1,)]


def test_a_refusal_on_input_is_stored(stage: Stage, cup: httpx2.Client) -> None:
    # Given a cart that is not there
    cart_id = uuid4()
    first = pay(cup, {"cart_id": cart_id}, key="order-1")
    assert (first.status_code, first.json()["code"]) == (404, "cart_unknown")
    # When it comes
    assert cup.put(f"/carts/{cart_id}", json=BODY).status_code == 201
    # Then the old key has its stored response, and a new one buys
    same(first, pay(cup, {"cart_id": cart_id}, key="order-1"))
    assert pay(cup, {"cart_id": cart_id}, key="order-2").status_code == 200


def test_a_key_is_for_one_request(stage: Stage, cup: httpx2.Client) -> None:
    cart_id = put_cart(cup, ("cup", 1))
    assert pay(cup, {"cart_id": cart_id}, key="order-1").status_code == 200
    for body, token in (({"cart_id": put_cart(cup, ("cup", 1))}, "tok_ok"), ({"cart_id": cart_id}, "tok_other")):
        answer = pay(cup, body, key="order-1", token=token)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")
    assert stage.shelf.rows("SELECT count(*) FROM stored_responses") == [(1,)]
    # And of one owner: another's key of that name is another key
    other = stage.client(owner="shop-2")
    assert pay(other, {"cart_id": put_cart(other, ("cup", 1))}, key="order-1").status_code == 200


def test_while_the_first_is_processed_a_repeat_is_refused(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    body = {"cart_id": put_cart(cup, ("cup", 1))}
    with ThreadPoolExecutor(1) as threads:
        with held_stock(stage):
            working = threads.submit(pay, stage.client(), body, key="order-1")
            spin_until(lambda: stage.shelf.rows("SELECT FROM stored_responses"), "the lease")
            # When
            answer = pay(cup, body, key="order-1")
            # Then
            assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_running")
            assert answer.headers["retry-after"] == "2"
        first = working.result()
    assert first.status_code == 200
    same(first, pay(cup, body, key="order-1"))


def test_a_repeat_of_one_in_progress_waits_for_its_end(stage: Stage, cup: httpx2.Client) -> None:
    # Given a purchase that was in progress when its wait ended
    body = {"cart_id": put_cart(cup, ("cup", 1))}
    with held_stock(stage):
        first = pay(cup, body, key="order-1", prefer={"Prefer": "wait=1"})
    assert (first.status_code, first.json()["state"]) == (202, "running")
    # When it is repeated with a wait
    again = pay(cup, body, key="order-1")
    # Then that is its order, and a repeat without a wait is the stored response
    assert (again.status_code, again.json()["state"], again.json()["checkout_id"]) == (
        200,
        "completed",
        first.json()["checkout_id"],
    )
    assert (again.headers["idempotency-replayed"], again.headers["preference-applied"]) == ("true", "wait=8")
    assert "retry-after" not in again.headers
    same(first, pay(cup, body, key="order-1", prefer={}))
    assert money(stage) == [("authorize", 1), ("capture", 1)]


def test_a_repeat_of_one_that_failed_meanwhile_says_why(stage: Stage, cup: httpx2.Client) -> None:
    # Given a purchase that was in progress when it was answered, and is declined
    body = {"cart_id": put_cart(cup, ("cup", 1))}
    with held_stock(stage):
        first = pay(cup, body, token="tok_insufficient_funds", key="order-1", prefer={})
    assert first.status_code == 202
    # When
    again = pay(cup, body, token="tok_insufficient_funds", key="order-1")
    # Then
    assert (again.status_code, again.json()["code"], again.headers["idempotency-replayed"]) == (
        402,
        "payment_declined",
        "true",
    )


def test_twenty_at_once_are_one_payment(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    cart = {"id": str(uuid4()), **BODY}
    # When
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: pay(cup, {"cart": cart}, key="order-1"), range(20)))
    # Then
    kinds = {(answer.status_code, answer.json().get("code")) for answer in answers}
    assert kinds <= {(200, None), (409, "idempotency_running")}
    orders = {answer.json()["order_number"] for answer in answers if answer.status_code == 200}
    assert len(orders) == 1
    assert money(stage) == [("authorize", 1), ("capture", 1)]
    assert stage.shelf.rows("SELECT count(*) FROM orders") == [(1,)]


def begin_and_die(stage: Stage, *, cart_id: UUID, checkout_id: UUID | None, key: str) -> UUID:
    """Do what a process does that crashes between its commit and its response."""
    request = (
        StartRequest(owner=OWNER, cart_id=cart_id, payment=PaymentInput(token="tok_ok"), idempotency_key=key)
        if checkout_id is None
        else ProcessRequest(
            owner=OWNER, checkout_id=checkout_id, payment=PaymentInput(token="tok_ok"), idempotency_key=key
        )
    )
    admitted = stage.server._context.service.purchase(request, IdempotentRequest(OWNER, key, fingerprint(request)), 60)
    assert isinstance(admitted, CommandResult)
    return admitted.checkout_id


@pytest.mark.parametrize("started", [False, True])
def test_what_a_crashed_process_began_is_found_by_the_repeat(
    stage: Stage, cup: httpx2.Client, *, started: bool
) -> None:
    # Given a payment, straight through or of a started checkout, whose process is no more
    cart_id = put_cart(cup, ("cup", 1))
    waiting = UUID(start(cup, cart_id).json()["checkout_id"]) if started else None
    checkout_id = begin_and_die(stage, cart_id=cart_id, checkout_id=waiting, key="order-1")
    body = {"checkout_id": checkout_id} if started else {"cart_id": cart_id}
    early = pay(cup, body, key="order-1")
    assert (early.status_code, early.json()["code"]) == (409, "idempotency_running")
    # When its lease has run out
    stage.shelf.run("UPDATE stored_responses SET leased_until = now() - interval '1 s'")
    answer = pay(cup, body, key="order-1")
    # Then
    assert (answer.status_code, answer.json()["checkout_id"]) == (200, str(checkout_id))
    same(answer, pay(cup, body, key="order-1"))
    assert money(stage) == [("authorize", 1), ("capture", 1)]
    assert stage.shelf.rows("SELECT count(*) FROM orders") == [(1,)]


def test_an_early_response_is_the_stored_one(stage: Stage, cup: httpx2.Client) -> None:
    # Given a purchase with a response before it was completed
    body = {"cart_id": put_cart(cup, ("cup", 1))}
    with held_stock(stage):
        first = pay(cup, body, key="order-1", prefer={})
    assert (first.status_code, first.json()["state"]) == (202, "running")
    address = first.headers["location"]
    spin_until(lambda: cup.get(address).json()["state"] == "completed", "the order")
    # Then its repeat has the same response, and the address of the status
    same(first, pay(cup, body, key="order-1", prefer={}))
    assert money(stage) == [("authorize", 1), ("capture", 1)]


def test_after_a_day_the_key_still_finds_its_checkout(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    body = {"cart_id": put_cart(cup, ("cup", 1))}
    first = pay(cup, body, key="order-1")
    stage.shelf.run("UPDATE stored_responses SET created_at = now() - interval '25 h'")
    stage.sweep()
    assert stage.shelf.rows("SELECT count(*) FROM stored_responses") == [(0,)]
    # When
    again = pay(cup, body, key="order-1")
    # Then
    assert (again.status_code, again.json()) == (200, first.json())
    assert "idempotency-replayed" not in again.headers
    assert pay(cup, body, key="order-1", token="tok_other").json()["code"] == "idempotency_conflict"
    assert money(stage) == [("authorize", 1), ("capture", 1)]


def test_another_total_than_was_shown_ends_it_and_is_remembered(stage: Stage, cup: httpx2.Client) -> None:
    checkout_id = start(cup, put_cart(cup, ("cup", 2))).json()["checkout_id"]
    body = {"checkout_id": checkout_id, "expected_total_minor": 499}
    first = pay(cup, body, key="order-1")
    assert (first.status_code, first.json()["code"]) == (409, "price_changed")
    assert (first.json()["facts"]["total_minor"], first.json()["facts"]["expected_total_minor"]) == (500, 499)
    same(first, pay(cup, body, key="order-1"))
    spin_until(lambda: stage.shelf.stock("cup") == (9, 0), "the stock is free again")
    assert stage.shelf.rows("SELECT count(*) FROM payments") == [(0,)]
    assert money(stage) == []
