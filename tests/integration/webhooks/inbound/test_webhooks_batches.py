"""Batches of webhooks: a failing one is isolated from its batch, and nothing is settled or sent twice."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from pipeline.messaging import WEBHOOKS
from pipeline.saga import PaymentPoller
from pipeline.saga.sweep import SweepCounts
from pipeline.settings import Settings
from pipeline.webhooks.inbound.inbox import Inbox
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
    read_statuses,
)
from tests.support.rivals import at_once, count_events
from tests.support.workbench import read_bank, sabotage


class BreakingLooker(PaymentPoller):
    """Cannot retrieve the payment of one checkout."""

    poison: UUID

    def run(self, ids: Sequence[UUID]) -> set[UUID]:
        """Retrieve, unless it is among them."""
        if self.poison in ids:
            raise ValueError("poison")
        return super().run(ids)


def test_a_webhook_that_cannot_be_settled_is_isolated_from_its_batch(mail: Mail, shelf: Shelf) -> None:
    # Given a database that will not settle one of four
    works = mail.works
    ids = approve_many(mail, shelf, 4)
    poison = read_inbox(shelf)[1][0]
    # When
    with sabotage(works.engine, "webhook_inbox", f"NEW.event_id = '{poison}' AND NEW.status = 'applied'"):
        works.pump()
    # Then
    assert works.states(ids) == ["completed"] * 4
    assert read_statuses(shelf) == ["applied", "received", "applied", "applied"]
    assert count_events(works.engine, "webhook.applied", ids) == 3
    _, _, attempts, error = read_inbox(shelf)[1]
    assert attempts == 1
    assert error is not None
    assert "sabotaged" in error
    # ... and it is settled when it can be
    make_due(shelf)
    works.sweep()
    works.pump()
    assert read_statuses(shelf) == ["applied"] * 4
    assert count_events(works.engine, "webhook.applied", ids) == 4


def test_a_checkout_that_cannot_be_retrieved_is_isolated_from_its_batch(mail: Mail, shelf: Shelf) -> None:
    # Given
    works = mail.works
    ids = approve_many(mail, shelf, 4)
    breaking = BreakingLooker(works.executor, works.settings)
    breaking.poison = ids[2]
    # When
    Inbox(works.executor, breaking, works.charges, works.settings).run(works.line.take(WEBHOOKS))
    works.pump()
    # Then
    assert works.states(ids) == ["completed", "completed", "action_required", "completed"]
    assert read_statuses(shelf) == ["applied", "applied", "received", "applied"]
    make_due(shelf)
    works.sweep()
    works.pump()
    assert works.states(ids) == ["completed"] * 4


def test_two_workers_with_the_same_batch_settle_each_once(mail: Mail, shelf: Shelf) -> None:
    # Given a batch that was delivered twice
    works = mail.works
    ids = approve_many(mail, shelf, 8)
    batch = works.line.take(WEBHOOKS)
    # When
    assert at_once(partial(works.inbox.run, batch), partial(works.inbox.run, batch[::-1])) == [None, None]
    for _ in range(3):
        make_due(shelf)
        works.sweep()
        works.pump()
    # Then
    assert works.states(ids) == ["completed"] * 8
    assert read_statuses(shelf) == ["applied"] * 8
    assert count_events(works.engine, "webhook.applied", ids) == 8
    assert {read_bank(works.engine, id_) for id_ in ids} == {PAID}


@pytest.mark.parametrize(("waiting", "sent"), [(0, 3), (1, 2), (2, 1), (3, 0), (4, 0)])
def test_a_long_queue_is_not_made_longer(
    engine: Engine, settings: Settings, shelf: Shelf, waiting: int, sent: int
) -> None:
    # Given five webhooks that are due, of which some can be seen waiting
    with open_mail(engine, settings.model_copy(update={"sweep_limit": 3})) as mail:
        works = mail.works
        for number in range(5):
            mail.write(f"evt_{number}", reference="sbx_1", checkout_id=OTHER_CHECKOUT)
        works.line.take(WEBHOOKS, 5 - waiting)
        make_due(shelf)
        # When
        counts = works.sweep()
        # Then
        assert counts == SweepCounts(inbound_webhooks=sent)
        assert len(works.line.waiting[WEBHOOKS]) == waiting + sent


def test_two_sweeps_at_once_send_each_once(mail: Mail, shelf: Shelf) -> None:
    works = mail.works
    for number in range(20):
        mail.write(f"evt_{number}", reference="sbx_1", checkout_id=OTHER_CHECKOUT)
    works.line.lose_all()
    make_due(shelf)

    counts = at_once(works.sweep, works.sweep)

    assert sum(each.inbound_webhooks for each in counts) == 20
    assert len({send.subject_id for send in works.line.waiting[WEBHOOKS]}) == 20


def test_settled_and_unknown_webhooks_are_left_alone(mail: Mail, shelf: Shelf) -> None:
    # Given
    works, spy = mail.works, mail.spy
    approve_many(mail, shelf, 1)
    [webhook_id] = works.line.take(WEBHOOKS)
    works.inbox.run([webhook_id])
    works.pump()
    before, calls = picture(works.engine), list(spy.calls)
    # When
    works.inbox.run([webhook_id, uuid4()])
    works.inbox.run([])
    # Then
    assert picture(works.engine) == before
    assert spy.calls == calls
