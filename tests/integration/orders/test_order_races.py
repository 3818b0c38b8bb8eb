"""Two connections want the last of it at once: one gets it, the other one reads why not."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

import pytest

from pipeline.errors import Code, Conflict
from pipeline.orders import ChangeResult
from pipeline.orders.requests import ChangeRequest
from tests.integration.orders.counter import Counter, cancel, fulfill, refund, restock
from tests.support.harness import OWNER, Works
from tests.support.rivals import at_once


def ask(works: Works, order_id: UUID, request: ChangeRequest, key: str) -> Callable[[], ChangeResult]:
    """Return a request of one of the two."""
    return partial(works.orders.request, order_id, OWNER, request, actor="key:shop", idempotency_key=key)


@pytest.mark.parametrize(
    ("first", "second", "code", "sentence"),
    [
        (
            refund(amount_minor=1000),
            refund(amount_minor=1000),
            Code.REFUND_EXCEEDS_CAPTURED,
            "nothing is left to refund",
        ),
        (refund((2, 1)), refund((2, 1)), Code.LINE_NOT_REFUNDABLE, "Line 2 has no unit left to refund"),
        (
            restock((2, 1, "main")),
            restock((2, 1, "main")),
            Code.LINE_NOT_RESTOCKABLE,
            'Line 2 has no unit left to restock at "main"',
        ),
        (fulfill((2, 1)), fulfill((2, 1)), Code.LINE_NOT_FULFILLABLE, "Line 2 has no unit left to fulfil"),
        (cancel(), cancel(), Code.ORDER_CANCELLED, "is being cancelled"),
    ],
    ids=["the last money", "the last unit paid back", "the last unit restocked", "the last unit sent", "the cancel"],
)
def test_one_of_two_gets_the_last_of_it(
    counter: Counter, rival: Works, first: ChangeRequest, second: ChangeRequest, code: Code, sentence: str
) -> None:
    order_id = counter.place()
    done = at_once(ask(counter.works, order_id, first, "a"), ask(rival, order_id, second, "b"))
    [won] = [each for each in done if isinstance(each, ChangeResult)]
    [lost] = [each for each in done if isinstance(each, Conflict)]
    assert (lost.code, sentence in str(lost)) == (code, True)
    assert counter.settle(won.change_id) == ["done"]
    assert len(counter.shelf.rows("SELECT FROM order_changes")) == 1
    assert len(counter.repaid()) == (won.kind in ("refund", "cancel"))


def test_two_repeats_of_one_request_are_one_change(counter: Counter, rival: Works) -> None:
    order_id = counter.place()
    request = refund(amount_minor=1000)
    done = at_once(ask(counter.works, order_id, request, "k"), ask(rival, order_id, request, "k"))
    assert len({each.change_id for each in done}) == 1
    assert sorted(each.created for each in done) == [False, True]


def test_one_key_for_two_orders_is_refused_for_one_of_them(counter: Counter, rival: Works) -> None:
    counter.shelf.add_variant("jug", stock=5)
    orders = [counter.place(("jug", 1)) for _ in range(2)]
    done = at_once(
        ask(counter.works, orders[0], refund(amount_minor=1), "k"), ask(rival, orders[1], refund(amount_minor=1), "k")
    )
    [lost] = [each for each in done if isinstance(each, Conflict)]
    assert lost.code is Code.KEY_CONFLICT
    assert len(counter.shelf.rows("SELECT FROM order_changes")) == 1


def test_two_processes_with_one_message_do_it_once(counter: Counter, rival: Works) -> None:
    order_id = counter.place()
    ids = [counter.ask(order_id, each).change_id for each in (refund((1, 1)), restock((1, 1)), cancel())]
    at_once(*(partial(works.changes.run, ids) for works in (counter.works, rival)))
    assert counter.settle(*ids) == ["done"] * 3
    assert counter.repaid() == [250, 750]
    assert counter.shelf.stock("cup") == (5, 0)
    assert counter.events(order_id) == ["order.refunded", "order.restocked", "order.cancelled"]
