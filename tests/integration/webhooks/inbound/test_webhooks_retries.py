"""Webhooks that cannot be worked on at once are tried again, later each time."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.gateways.gateway import Unknown
from pipeline.messaging import WEBHOOKS
from pipeline.saga import PaymentPoller
from pipeline.saga.sweep import SweepCounts
from pipeline.settings import Settings
from pipeline.webhooks.inbound.inbox import FIT_CAP_SECONDS, Inbox
from tests.support.failpoints import SimulatedCrash
from tests.support.harness import Shelf
from tests.support.mail import (
    OTHER_CHECKOUT,
    PAID,
    Mail,
    approve_many,
    make_due,
    open_mail,
    picture,
    read_inbox,
    read_reference,
    read_statuses,
)
from tests.support.rivals import count_events
from tests.support.workbench import read_bank, start_many


def wait_seconds(shelf: Shelf) -> float:
    """Return how far ahead the one next try was set, in seconds since this transaction began."""
    return float(shelf.row("SELECT extract(epoch FROM due_at - now()) AS seconds FROM webhook_inbox").seconds)


class DyingLooker(PaymentPoller):
    """Retrieves, and ends before the result is stored."""

    def run(self, ids: Sequence[UUID]) -> set[UUID]:
        """Retrieve, and end."""
        super().run(ids)
        raise SimulatedCrash("looked")


def test_a_worker_that_crashes_after_the_retrieval_leaves_it_to_the_next_one(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    # Given
    with open_mail(engine, settings.model_copy(update={"gateway_lease_seconds": 100})) as mail:
        works = mail.works
        [checkout_id] = approve_many(mail, shelf, 1)
        dying = Inbox(works.executor, DyingLooker(works.executor, works.settings), works.charges, works.settings)
        # When
        with pytest.raises(SimulatedCrash):
            dying.run(works.line.take(WEBHOOKS))
        # Then the retrieved status is stored, and the webhook is due again once the lease has ended
        works.pump()
        assert works.status(checkout_id).state is CheckoutState.COMPLETED
        assert [(status, attempts) for _, status, attempts, _ in read_inbox(shelf)] == [("received", 0)]
        assert 95 < wait_seconds(shelf) <= 100
        make_due(shelf)
        before = without_events(engine)
        assert works.sweep() == SweepCounts(inbound_webhooks=1)
        works.pump()
        # ... and then settled, with no second effect
        assert read_statuses(shelf) == ["applied"]
        assert without_events(engine) == before
        assert count_events(engine, "webhook.applied", [checkout_id]) == 1
        assert read_bank(engine, checkout_id) == PAID


def without_events(engine: Engine) -> dict[str, list[str]]:
    return {table: rows for table, rows in picture(engine).items() if table != "events"}


def test_a_lost_message_is_sent_again_by_the_sweep(mail: Mail, shelf: Shelf) -> None:
    # Given a broker that forgets
    works = mail.works
    [checkout_id] = approve_many(mail, shelf, 1)
    works.line.lose_all()
    # When nothing is late yet, nothing is sent; later it is, and a backlog is not doubled at the next tick
    assert works.sweep() == SweepCounts()
    make_due(shelf)
    assert works.sweep() == SweepCounts(inbound_webhooks=1)
    [(sent_at,)] = shelf.rows(
        "SELECT due_at - make_interval(secs => :stall) FROM webhook_inbox", stall=works.settings.redeliver_after_seconds
    )
    assert [each.sent_at for each in works.line.waiting[WEBHOOKS]] == [sent_at]
    assert works.sweep() == SweepCounts()
    works.pump()
    # Then
    assert works.status(checkout_id).state is CheckoutState.COMPLETED
    assert read_statuses(shelf) == ["applied"]
    assert works.sweep() == SweepCounts()


def test_nothing_is_sent_again_while_the_broker_is_away(mail: Mail, shelf: Shelf) -> None:
    works = mail.works
    mail.write("evt_1", reference="sbx_1", checkout_id=OTHER_CHECKOUT)
    make_due(shelf)
    before = read_inbox(shelf), shelf.rows("SELECT due_at FROM webhook_inbox")
    works.line.away = True

    assert works.sweep() == SweepCounts()
    assert (read_inbox(shelf), shelf.rows("SELECT due_at FROM webhook_inbox")) == before


def test_a_provider_that_is_down_is_polled_again(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given
    with open_mail(engine, settings.model_copy(update={"retry_seconds": 10, "retry_cap_seconds": 25})) as mail:
        works, spy = mail.works, mail.spy
        [checkout_id] = approve_many(mail, shelf, 1)
        spy.replace = lambda verb, answer: Unknown("timeout") if verb == "retrieve" else answer
        # When it stays down, the waits double up to the cap
        for attempt, seconds in enumerate([10, 20, 25, 25], start=1):
            works.pump()
            [(_, status, attempts, error)] = read_inbox(shelf)
            assert (status, attempts, error) == ("received", attempt, "the provider gave no answer")
            assert seconds - 5 < wait_seconds(shelf) <= seconds
            make_due(shelf)
            assert works.sweep() == SweepCounts(inbound_webhooks=1)
        assert works.status(checkout_id).state is CheckoutState.ACTION_REQUIRED
        # ... and is back
        spy.replace = None
        works.pump()
        # Then
        assert works.status(checkout_id).state is CheckoutState.COMPLETED
        [(_, status, attempts, error)] = read_inbox(shelf)
        assert (status, attempts, error) == ("applied", 4, None)


def test_an_unmatched_event_is_retried_with_back_off_and_then_no_more(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    # Given an event of another system on the same account
    with open_mail(engine, settings.model_copy(update={"retry_seconds": 10})) as mail:
        works, spy = mail.works, mail.spy
        mail.write("evt_1", reference="sbx_other", checkout_id=OTHER_CHECKOUT)
        before = picture(engine)
        # When
        for attempt, seconds in enumerate([10, 20, 40], start=1):
            works.pump()
            assert read_inbox(shelf) == [("evt_1", "received", attempt, "it names no known payment")]
            assert seconds - 5 < wait_seconds(shelf) <= seconds
            make_due(shelf)
            works.sweep()
        # ... after many days of attempts, a wait is still bounded
        shelf.run("UPDATE webhook_inbox SET attempts = 32767")
        works.pump()
        assert FIT_CAP_SECONDS - 5 < wait_seconds(shelf) <= FIT_CAP_SECONDS
        # ... and the hours are over
        shelf.force("UPDATE webhook_inbox SET received_at = now() - make_interval(hours => 72, secs => 1)")
        make_due(shelf)
        works.sweep()
        works.pump()
        # Then
        assert read_inbox(shelf) == [("evt_1", "unmatched", 32767, "it names no known payment")]
        row = shelf.row("SELECT due_at, settled_at IS NOT NULL AS settled FROM webhook_inbox")
        assert tuple(row) == (None, True)
        assert works.sweep() == SweepCounts()
        assert picture(engine) == before
        assert spy.calls == []


def test_an_event_of_another_object_of_our_checkout_is_left_to_the_reconciler(mail: Mail, shelf: Shelf) -> None:
    # Given
    works, spy = mail.works, mail.spy
    [checkout_id] = start_many(works, shelf, 1)
    works.pump()
    before, calls = picture(works.engine), list(spy.calls)
    # When
    mail.write("evt_stray", reference="sbx_other", checkout_id=checkout_id, kind="payment.captured")
    works.pump()
    # Then
    reference = read_reference(shelf, checkout_id)
    reason = f"checkout {checkout_id} is paid with {reference}, this is about sbx_other"
    assert read_inbox(shelf) == [("evt_stray", "unmatched", 0, reason)]
    assert picture(works.engine) == before
    assert spy.calls == calls
    assert works.sweep() == SweepCounts()
