"""What is true while a gateway call is out, and what becomes of answers that come late."""

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from pipeline.audit import audit
from pipeline.database import assert_no_transaction
from pipeline.errors import Conflict
from pipeline.gateways import build_gateway
from pipeline.gateways.gateway import Answer, Call, Declined, Unknown
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.settings import Settings
from tests.support.harness import OWNER, Shelf, Works, build_works
from tests.support.workbench import (
    NOTHING,
    Spy,
    build_audited,
    read_bank,
    read_events,
    settle,
    take_snapshot,
)

IN_TRANSACTION = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'checkout.test' AND pid <> pg_backend_pid()
      AND (state LIKE 'idle in transaction%' OR xact_start IS NOT NULL)
""")

INTENT = text("""
    SELECT kind, status, amount_minor, leased_until > now() AS leased FROM payment_operations
    WHERE idempotency_key = :key
""")


def test_intents_are_written_and_no_transaction_is_open_during_a_call(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    # Given
    seen: list[tuple[str, str, str, int, bool, int]] = []

    def record(verb: str, call: Call) -> None:
        assert_no_transaction()
        with engine.connect() as connection:
            open_transactions = connection.execute(IN_TRANSACTION).scalar_one()
            row = connection.execute(INTENT, {"key": call.key}).one()
        seen.append((verb, row.kind, row.status, row.amount_minor, row.leased, open_transactions))
        assert call.amount.minor == row.amount_minor

    shelf.add_variant("cup", stock=5, price_minor=250)
    with build_audited(engine, settings, Spy(build_gateway(settings), before=record)) as works:
        # When one is bought, and one is unwound
        works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
        works.pump()
        works.start(shelf.add_cart(("cup", 1)), token="tok_capture_declined")
        works.pump()
    # Then
    assert seen == [
        ("open", "open", "intended", 500, True, 0),
        ("authorize", "authorize", "intended", 500, True, 0),
        ("capture", "capture", "intended", 500, True, 0),
        ("open", "open", "intended", 250, True, 0),
        ("authorize", "authorize", "intended", 250, True, 0),
        ("capture", "capture", "intended", 250, True, 0),
        ("cancel", "void", "intended", 250, True, 0),
    ]


def test_keys_name_the_intention(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5, price_minor=250)
    spy = Spy(build_gateway(settings))
    with build_audited(engine, settings, spy) as works:
        checkout_id = works.start(shelf.add_cart(("cup", 2)))
        works.pump()
        # When a first card is declined, and the second one's capture times out
        works.pay(checkout_id, "tok_declined")
        works.pump()
        works.pay(checkout_id, "tok_capture_error")
        settle(works, [checkout_id])
    # Then a new attempt has a new number, a repeat has the same
    assert [(verb, call.key.removeprefix(str(checkout_id))) for verb, call in spy.calls] == [
        ("open", ":open:1"),
        ("authorize", ":authorize:1"),
        ("authorize", ":authorize:2"),
        ("capture", ":capture:1"),
        ("capture", ":capture:1"),
    ]
    assert {(call.amount.minor, call.amount.currency) for _, call in spy.calls} == {(500, "EUR")}


def test_a_capture_whose_outcome_is_unknown_is_finished_and_never_undone(
    works: Works, shelf: Shelf, engine: Engine
) -> None:
    # Given
    shelf.add_variant("cup", stock=5, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_capture_timeout_before")
    works.pump()
    before = take_snapshot(engine)
    # When
    with pytest.raises(Conflict) as refusal:
        works.service.cancel(checkout_id, OWNER)
    # Then
    assert str(refusal.value) == (
        f"The payment of checkout {checkout_id} is being captured: wait for its order, then cancel that."
    )
    assert take_snapshot(engine) == before
    # When it is long past its time
    shelf.run("UPDATE checkouts SET expires_at = now() - interval '1 hour'")
    assert works.sweep().expired == 0
    # Then
    assert settle(works, [checkout_id]) == ["completed"]
    assert read_bank(engine, checkout_id) == BankTotals(0, 500, 0)


def cancel_during(verb: str, works: list[Works], *, unwind: bool) -> Callable[[str, Call], None]:
    def act(asked: str, call: Call) -> None:
        if asked == verb:
            works[0].service.cancel(call.checkout_id, OWNER)
            if unwind:
                works[0].unwinder.run([call.checkout_id])

    return act


@pytest.mark.parametrize("unwind", [False, True], ids=["not_yet_unwound", "unwound_meanwhile"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["open", "authorize"])
def test_an_answer_after_the_unwind_began_is_recorded_and_the_payment_voided(
    engine: Engine, settings: Settings, shelf: Shelf, verb: str, when: str, *, unwind: bool
) -> None:
    # Given a buyer that cancels while the call is in flight
    box: list[Works] = []
    spy = Spy(build_gateway(settings))
    if when == "before":
        spy.before = cancel_during(verb, box, unwind=unwind)
    else:
        spy.after = cancel_during(verb, box, unwind=unwind)
    shelf.add_variant("cup", stock=5, price_minor=250)
    with build_audited(engine, settings, spy) as works:
        box.append(works)
        # When
        checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
        works.pump()
        # Then
        assert settle(works, [checkout_id]) == ["cancelled"]
        assert ("payment.late_answer", None) in read_events(engine, checkout_id)
        late = shelf.rows("SELECT data ->> 'operation' FROM events WHERE kind = 'payment.late_answer'")
        assert late == [(f"{checkout_id}:{verb}:1",)]
        assert read_bank(engine, checkout_id) == NOTHING
        assert shelf.rows("SELECT status FROM sandbox.payments") == [("cancelled",)]
        assert shelf.stock("cup") == (5, 0)


def test_a_retrieval_that_finds_the_object_cancelled_settles_the_cancellation(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    """Cancelled during a retrieval of the object; the cancellation's own answer is lost, the retrieval shows it."""
    # Given
    box: list[Works] = []
    lost: list[Answer] = []

    def lose_first_cancellation(verb: str, answer: Answer) -> Answer:
        if verb == "cancel" and not lost:
            lost.append(answer)
            return Unknown("lost")
        return answer

    spy = Spy(
        build_gateway(settings),
        before=cancel_during("retrieve", box, unwind=True),
        replace=lose_first_cancellation,
    )
    shelf.add_variant("cup", stock=5, price_minor=250)
    with build_audited(engine, settings, spy) as works:
        box.append(works)
        checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_action_required")
        works.pump()
        # When
        works.service.resume(checkout_id, OWNER)
        works.pump()
        # Then
        assert len(lost) == 1
        assert settle(works, [checkout_id]) == ["cancelled"]
        assert shelf.rows("SELECT kind, status FROM payment_operations ORDER BY id") == [
            ("open", "succeeded"),
            ("authorize", "declined"),
            ("void", "succeeded"),
        ]


@pytest.mark.parametrize("fault", [None, "timeout_before", "timeout_after", "error"])
def test_money_that_was_captured_after_all_is_refunded(
    engine: Engine, settings: Settings, shelf: Shelf, fault: str | None
) -> None:
    """A provider that declines and captures all the same: the cancellation finds it, and it is refunded."""
    # Given
    spy = Spy(
        build_gateway(settings),
        replace=lambda verb, answer: Declined("do_not_honor") if verb == "capture" else answer,
    )
    shelf.add_variant("cup", stock=5, price_minor=250)
    with build_audited(engine, settings, spy) as works:
        # When
        token = "tok_ok" if fault is None else f"tok_refund_{fault}"
        checkout_id = works.start(shelf.add_cart(("cup", 2)), token=token)
        # Then
        assert settle(works, [checkout_id]) == ["failed"]
        assert read_bank(engine, checkout_id) == BankTotals(0, 500, 500)
        assert shelf.rows("SELECT kind, status FROM payment_operations ORDER BY id") == [
            ("open", "succeeded"),
            ("authorize", "succeeded"),
            ("capture", "declined"),
            ("void", "declined"),
            ("refund", "succeeded"),
        ]
        assert shelf.stock("cup") == (5, 0)


def test_a_gateway_that_raises_is_an_unknown_outcome(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given
    raised: list[UUID] = []

    def raise_once(verb: str, call: Call) -> None:
        if verb == "authorize" and not raised:
            raised.append(call.checkout_id)
            raise ConnectionError("no route")

    shelf.add_variant("cup", stock=5, price_minor=250)
    with build_works(engine, settings, Spy(build_gateway(settings), after=raise_once)) as works:
        # When
        checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
        # Then
        assert settle(works, [checkout_id]) == ["completed"]
        assert raised == [checkout_id]
        assert read_bank(engine, checkout_id) == BankTotals(0, 500, 0)
        with engine.connect() as connection:
            assert audit(connection, settings) == []
