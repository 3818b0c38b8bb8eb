"""Everything about one checkout, and what to do about it."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from pipeline.errors import NotFound
from pipeline.operations.advice import advise
from pipeline.operations.checkout_detail import SECTIONS, CheckoutDetail, read_detail
from tests.support.harness import Shelf, Works


@pytest.fixture
def cup(works: Works, shelf: Shelf) -> Works:
    """A shop that has cups."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    return works


def read(works: Works, checkout_id: UUID) -> CheckoutDetail:
    with works.engine.connect() as connection:
        return read_detail(connection, checkout_id)


def rows(detail: CheckoutDetail, title: str) -> list[dict[str, Any]]:
    """Return a section's rows by column."""
    section = next(each for each in detail.sections if each.title == title)
    return [dict(zip(section.columns, row, strict=True)) for row in section.rows]


def sentences(works: Works, detail: CheckoutDetail) -> list[tuple[str, str | None]]:
    return [(each.sentence, each.command) for each in advise(detail, works.settings)]


def test_an_order_has_all_of_its_parts(cup: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_coupon("TEN")
    checkout_id = cup.start(shelf.add_cart(("cup", 2), coupon_codes=["TEN"]), token="tok_ok", reference="4711")
    cup.pump()
    # When
    detail = read(cup, checkout_id)
    # Then
    assert detail.status.order_number is not None
    assert rows(detail, "cart") == [
        {"line": 1, "sku": "cup", "quantity": 2, "own_price_minor": None, "cart_state": "completed"}
    ]
    assert rows(detail, "reservations") == [
        {"line": 1, "sku": "cup", "location": "main", "quantity": 2, "state": "committed"}
    ]
    assert [(each["code"], each["returned_at"]) for each in rows(detail, "coupons")] == [("TEN", None)]
    assert [each["total_minor"] for each in rows(detail, "price lock")] == [450]
    assert [(each["kind"], each["n"], each["status"]) for each in rows(detail, "payment operations")] == [
        ("open", 1, "succeeded"),
        ("authorize", 1, "succeeded"),
        ("capture", 1, "succeeded"),
    ]
    kinds = [each["kind"] for each in rows(detail, "events")]
    assert (kinds[0], kinds[-1], kinds.count("checkout.phase_completed")) == (
        "checkout.started",
        "order.placed",
        7,
    )
    assert "tok_ok" not in str(detail)
    assert sentences(cup, detail) == [(f"It is order {detail.status.order_number}: nothing is left to do.", None)]


def test_one_that_waits_says_until_when_and_how_to_free_it(cup: Works, shelf: Shelf) -> None:
    checkout_id = cup.start(shelf.add_cart(("cup", 1)))
    cup.pump()
    detail = read(cup, checkout_id)
    until = f"{detail.status.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    assert sentences(cup, detail) == [
        (
            f"It awaits payment and holds its stock until {until}; release it to free the stock now.",
            f"checkout checkouts release {checkout_id} --reason TEXT",
        )
    ]


def test_one_that_failed_says_why(cup: Works, shelf: Shelf) -> None:
    checkout_id = cup.start(shelf.add_cart(("cup", 1)), token="tok_declined")
    cup.pump()
    [(sentence, command)] = sentences(cup, read(cup, checkout_id))
    assert sentence == (
        "It has ended, and everything is undone. The payment was declined (card_declined): try another payment method."
    )
    assert command is None


def test_one_at_the_bank_and_one_on_its_way(cup: Works, shelf: Shelf) -> None:
    # Given
    at_bank = cup.start(shelf.add_cart(("cup", 1)), token="tok_action_required")
    cup.pump()
    moving = cup.start(shelf.add_cart(("cup", 1)))
    # Then
    [(sentence, command)] = sentences(cup, read(cup, at_bank))
    assert sentence.startswith("The buyer must complete 3-D Secure")
    assert command == f"checkout checkouts release {at_bank} --reason TEXT"
    [(sentence, command)] = sentences(cup, read(cup, moving))
    assert sentence.startswith("It is in checkout.cart_validation; the sweep checks it at ")
    assert command == "checkout monitor --watch"
    # When no worker has processed it for long
    shelf.run("UPDATE checkouts SET due_at = now() - interval '1 h' WHERE id = :id", id=moving)
    [(sentence, _)] = sentences(cup, read(cup, moving))
    assert sentence.startswith("It is overdue: the worker of checkout.cart_validation does not run")
    cup.pump()


def test_what_needs_review_says_what_to_settle(cup: Works, shelf: Shelf) -> None:
    # Given a bank that refuses our access once the money is authorised
    checkout_id = cup.start(shelf.add_cart(("cup", 1)), token="tok_ok+tok_capture_misconfigured")
    cup.pump()
    for _ in range(30):
        if cup.states([checkout_id]) == ["needs_review"]:
            break
        shelf.run("UPDATE checkouts SET due_at = now() WHERE due_reason = 'scheduled'")
        shelf.run("UPDATE payment_operations SET updated_at = now() - interval '1 h', leased_until = NULL")
        cup.sweep()
        cup.pump()
    # When
    [(sentence, command)] = sentences(cup, read(cup, checkout_id))
    # Then
    assert sentence.startswith("An operator must settle this, then retry it. The payment provider refuses access")
    assert command == f"checkout checkouts retry {checkout_id} --reason TEXT"


def test_an_unknown_one_is_not_there(cup: Works) -> None:
    with pytest.raises(NotFound):
        read(cup, uuid4())


def test_every_section_reads_through_an_index(engine: Engine) -> None:
    # Given tables that are too large to be read whole
    with engine.connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        for title, query in SECTIONS.items():
            plan = "\n".join(row[0] for row in connection.execute(text(f"EXPLAIN {query}"), {"id": uuid4()}))
            # The small tables of places and endpoints may be read whole, what grows may not.
            for table in ("checkouts", "events", "reservations", "payment_operations", "redemptions", "webhook_inbox"):
                assert f"Seq Scan on {table} " not in plan, (title, plan)
