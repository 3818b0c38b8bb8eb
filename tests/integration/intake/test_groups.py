"""Starts in groups: one transaction for the plain ones; whatever needs a decision is left out and changes nothing."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from pipeline.carts.cart_input import Cart, CartLine
from pipeline.errors import Refused
from pipeline.intake.idempotency import IdempotentRequest, StoredResponse
from pipeline.intake.requests import PaymentInput, StartRequest, fingerprint
from pipeline.intake.result import CommandResult
from pipeline.intake.starting import Start
from pipeline.settings import Settings
from tests.support.counting import counting
from tests.support.harness import ADDRESS, OWNER, Shelf, Works, build_works
from tests.support.rivals import Crowd, hold
from tests.support.tables import empty_tables
from tests.support.workbench import count_rows, take_snapshot

OTHER = "shop-2"


def ask(cart: Cart | UUID, key: str | None = None, **others: Any) -> StartRequest:
    """Return a request to buy a cart, or one that exists."""
    which = {"cart": cart} if isinstance(cart, Cart) else {"cart_id": cart}
    payment = PaymentInput(token="tok_ok")
    fields = {"owner": OWNER, "idempotency_key": key or str(uuid4()), "payment": payment} | which | others
    return StartRequest(**fields)


def make_cart(*lines: tuple[str, int], cart_id: UUID | None = None, **others: Any) -> Cart:
    """Return a whole cart."""
    fields: dict[str, Any] = {"id": cart_id or uuid4(), "currency": "EUR", "shipping_address": ADDRESS} | others
    return Cart(lines=[CartLine(sku=sku, quantity=quantity) for sku, quantity in lines], **fields)


def begin(works: Works, requests: Sequence[StartRequest], *, leased: bool = False) -> list[CommandResult | None]:
    """Start these as a group, with leases for their responses if asked."""

    def lease(request: StartRequest) -> IdempotentRequest | None:
        assert request.idempotency_key is not None
        return IdempotentRequest(request.owner, request.idempotency_key, fingerprint(request)) if leased else None

    return works.service.start_group([Start(each, lease=lease(each), lease_seconds=60) for each in requests])


def test_plain_ones_are_one_transaction(works: Works, shelf: Shelf) -> None:
    # Given whole carts, new and stored ones, and a cart that is only named
    shelf.add_variant("cup", stock=20)
    stored = shelf.add_cart(("cup", 9))
    named = shelf.add_cart(("cup", 2))
    requests = [
        ask(make_cart(("cup", 1), ("cup", 2), coupon_codes=["A", "B"], customer="c1"), reference="r1"),
        ask(make_cart(("cup", 3), cart_id=stored), expected_total_minor=750),
        ask(named, ttl_seconds=60),
    ]
    # When
    results = begin(works, requests, leased=True)
    # Then
    ids = [each.checkout_id for each in results if each is not None]
    assert len(ids) == 3
    assert len(shelf.rows("SELECT DISTINCT at FROM events")) == 1
    rows = shelf.rows(
        "SELECT id, reference, line_count, expected_total_minor, straight_through,"
        " round(extract(epoch FROM expires_at - created_at)) AS ttl FROM checkouts"
    )
    assert {row[0]: tuple(row[1:]) for row in rows} == {
        ids[0]: ("r1", 2, None, True, 900),
        ids[1]: (None, 1, 750, True, 900),
        ids[2]: (None, 1, None, True, 60),
    }
    assert shelf.rows("SELECT coupon_codes, customer FROM carts WHERE customer = 'c1'") == [(["A", "B"], "c1")]
    lines = "SELECT line, quantity FROM cart_lines WHERE cart_id = :id ORDER BY line"
    assert shelf.rows(lines, id=stored) == [(1, 3)]
    assert shelf.rows(lines, id=requests[0].wanted_cart_id) == [(1, 1), (2, 2)]
    # The version of a cart that was there is raised, so that an editor with an older snapshot fails.
    assert shelf.rows("SELECT lock_version FROM carts ORDER BY lock_version") == [(0,), (1,), (1,)]
    counts = shelf.rows(
        "SELECT (SELECT count(*) FROM idempotency_keys), (SELECT count(*) FROM payments),"
        " (SELECT count(*) FROM stored_responses WHERE status IS NULL)"
    )
    assert counts == [(3, 3, 3)]
    works.pump()
    # There are no such coupons.
    assert works.states(ids) == ["failed", "completed", "completed"]
    assert shelf.stock("cup") == (15, 0)


def test_what_needs_a_decision_is_left_out_and_leaves_nothing(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given a cart of each kind that is not plain
    shelf.add_variant("cup", stock=20)
    active, bought = shelf.add_cart(("cup", 1)), shelf.add_cart(("cup", 1))
    works.start(active)
    works.start(bought, token="tok_ok", idempotency_key="bought")
    works.pump()
    foreign = make_cart(("cup", 1))
    assert works.service.put_cart(OTHER, foreign)
    before = take_snapshot(engine)
    others = [
        ask(uuid4()),  # there is no such cart
        ask(active),
        ask(bought),
        ask(bought, "bought"),  # a repeat
        ask(make_cart(("cup", 1)), "bought"),  # another request with its key
        ask(foreign.id),
        ask(foreign),
        ask(make_cart(("cup", 1)), ttl_seconds=3601),
    ]
    # When they are a group of their own, then nothing is changed
    assert begin(works, others, leased=True) == [None] * 8
    assert take_snapshot(engine) == before
    # When each comes with a plain one, then that one alone is started
    for other in others:
        plain, left = begin(works, [ask(make_cart(("cup", 1))), other], leased=True)
        assert plain is not None
        assert left is None
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM stored_responses")).scalar_one() == len(others)
    works.pump()
    assert shelf.stock("cup") == (20 - 1 - len(others), 1)


def test_one_that_is_not_plain_costs_its_group_nothing(works: Works, shelf: Shelf) -> None:
    # Given twenty plain starts, and what they cost by themselves
    shelf.add_variant("cup", stock=100)
    active = shelf.add_cart(("cup", 1))
    works.start(active)
    with counting(works.engine) as alone:
        begin(works, [ask(make_cart(("cup", 1))) for _ in range(20)], leased=True)
    # When one of them needs a decision
    with counting(works.engine) as mixed:
        results = begin(works, [ask(active), *(ask(make_cart(("cup", 1))) for _ in range(20))], leased=True)
    # Then it was seen before anything was written
    assert [each is None for each in results] == [True] + [False] * 20
    assert mixed == alone


def test_a_repeat_within_a_group_is_left_for_later(works: Works, shelf: Shelf) -> None:
    # Given two requests for one cart, and two with one key
    shelf.add_variant("cup", stock=20)
    cart = make_cart(("cup", 1))
    requests = [ask(cart, "a"), ask(cart, "b"), ask(make_cart(("cup", 1)), "c"), ask(make_cart(("cup", 2)), "c")]
    # When
    results = begin(works, requests)
    # Then
    assert [each is not None for each in results] == [True, False, True, False]
    assert shelf.rows("SELECT key FROM idempotency_keys ORDER BY key") == [("a",), ("c",)]
    works.pump()


def test_a_cart_that_somebody_else_has_locked_delays_no_other(works: Works, shelf: Shelf) -> None:
    # Given a row lock that lasts
    shelf.add_variant("cup", stock=20)
    cart_id = shelf.add_cart(("cup", 1))
    with hold(shelf.engine, "SELECT FROM carts WHERE id = :id FOR UPDATE", id=cart_id):
        # When
        results = begin(works, [ask(cart_id), ask(make_cart(("cup", 1)))])
        # Then
        assert [each is not None for each in results] == [False, True]
    works.pump()


def test_a_key_that_is_bound_meanwhile_is_left_out(works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given a transaction that binds a key, and has not committed
    shelf.add_variant("cup", stock=20)
    first = rival.start(shelf.add_cart(("cup", 1)), token="tok_ok", idempotency_key="other")
    requests = [ask(make_cart(("cup", 1)), "raced"), ask(make_cart(("cup", 1)))]
    bind = (
        "INSERT INTO idempotency_keys (owner, key, action, fingerprint, checkout_id)"
        " VALUES (:owner, 'raced', 'start', 'f', :id)"
    )
    with hold(shelf.engine, bind, owner=OWNER, id=first):
        # When a group needs it, it waits, and is done again without it
        group = crowd.begin_blocked(lambda: begin(works, requests, leased=True))
    left, plain = group.result(10)
    # Then
    assert left is None
    assert plain is not None
    carts = shelf.rows("SELECT count(*) FROM carts WHERE id = :id", id=requests[0].wanted_cart_id)
    assert carts == [(0,)]
    assert shelf.rows("SELECT key FROM stored_responses") == [(requests[1].idempotency_key,)]
    works.pump()


def test_a_request_that_waits_for_its_cart_delays_no_repeat_of_it(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given a request alone that has its lease, and waits for the row lock of its cart
    shelf.add_variant("cup", stock=20)
    cart_id = shelf.add_cart(("cup", 1))
    request = ask(cart_id, "slow")
    lease = IdempotentRequest(OWNER, "slow", fingerprint(request))
    with hold(shelf.engine, "SELECT FROM carts WHERE id = :id FOR UPDATE", id=cart_id):
        alone = crowd.begin_blocked(lambda: rival.service.purchase(request, lease, 60))
        # When it is repeated, in a group
        repeated, plain = begin(works, [request, ask(make_cart(("cup", 1)))], leased=True)
        # Then the group waits for neither
        assert not alone.done()
        assert repeated is None
        assert plain is not None
    assert isinstance(alone.result(10), CommandResult)
    works.pump()
    rival.pump()


def test_one_that_raises_fails_no_other(works: Works, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a group that raises for a reason of its own
    shelf.add_variant("cup", stock=20)

    def fail(*_: object) -> None:
        raise ValueError("unforeseen")

    monkeypatch.setattr("pipeline.intake.service.start_plain", fail)
    # When, then each is run by itself
    requests = [ask(make_cart(("cup", 1))) for _ in range(3)]
    assert begin(works, requests) == [None] * 3
    assert [type(each) for each in works.service.start_many(requests)] == [CommandResult] * 3
    works.pump()


def test_responses_are_stored_together_and_the_first_one_counts(works: Works, shelf: Shelf) -> None:
    # Given two leased requests, one of them with a response
    shelf.add_variant("cup", stock=20)
    requests = [ask(make_cart(("cup", 1)), key) for key in ("a", "b")]
    begin(works, requests, leased=True)
    leases = [IdempotentRequest(OWNER, key, fingerprint(each)) for key, each in zip("ab", requests, strict=True)]
    works.service.keep_responses([(leases[0], StoredResponse(200, {"x": "1"}, "first"))])
    # When
    works.service.keep_responses([(each, StoredResponse(201, {"y": "2"}, "second")) for each in leases])
    # Then
    stored = shelf.rows("SELECT key, status, headers, body FROM stored_responses ORDER BY key")
    assert stored == [("a", 200, {"x": "1"}, "first"), ("b", 201, {"y": "2"}, "second")]
    works.pump()


#: Requests by the numbers of their cart and key; a cart may be named, or brought along with some cups.
requests_made = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.sampled_from([OWNER, OTHER]),
        st.sampled_from([None, 1, 2]),
    ),
    min_size=1,
    max_size=8,
)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(requests_made, min_size=1, max_size=2))
def test_a_batch_means_what_its_requests_mean_one_by_one(
    engine: Engine, settings: Settings, batches: list[list[tuple[int, str, str, int | None]]]
) -> None:
    orders: list[list[int]] = []

    def play(*, together: bool) -> tuple[list[dict[int, str]], dict[str, int]]:
        """Return what became of each request, and how many rows there are."""
        with engine.begin() as connection:
            empty_tables(connection)
        outcomes = []
        with build_works(engine, settings) as works:
            Shelf(engine).add_variant("cup", stock=100)
            for number, batch in enumerate(batches):
                requests = [
                    ask(make_cart(("cup", cups), cart_id=UUID(int=cart)) if cups else UUID(int=cart), key, owner=owner)
                    for cart, key, owner, cups in batch
                ]
                found: dict[int, CommandResult | Refused] = {}
                if together:
                    group = begin(works, requests)
                    found |= {at: each for at, each in enumerate(group) if each is not None}
                    # The members of the group come first: that is one of the orders in which all could have come.
                    orders.append([*found, *(at for at in range(len(batch)) if at not in found)])
                for at in orders[number]:
                    if at not in found:
                        [found[at]] = works.service.start_many([requests[at]])
                outcomes.append(
                    {at: each.code if isinstance(each, Refused) else str(each.changed) for at, each in found.items()}
                )
            return outcomes, count_rows(engine)

    assert play(together=True) == play(together=False)
