"""Replays from a moment: what was delivered, what was given up, and what an endpoint has missed."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.checkouts.events import EVERY_KIND
from pipeline.errors import Invalid
from pipeline.webhooks.outbound import replays
from pipeline.webhooks.outbound.endpoints import list_endpoints
from pipeline.webhooks.outbound.replays import ReplayCount, replay_since
from tests.integration.webhooks.outbound.post import Post
from tests.integration.webhooks.outbound.receiver import Receiver

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches for some events."""
    monkeypatch.setattr(replays, "BATCH", 3)


def test_what_was_delivered_or_given_up_is_sent_again(post: Post, receiver: Receiver) -> None:
    post.subscribe(receiver.url)
    post.buy()
    post.tick()
    post.shelf.run("""
        UPDATE webhook_deliveries SET status = 'dead_lettered'
        WHERE event_id = (SELECT id FROM events WHERE kind = 'order.placed')
    """)
    sent = len(receiver.got)
    assert sent == 10
    assert replay_since(post.engine, LONG_AGO, dry_run=True) == ReplayCount(repeated=10)
    assert post.tick() == 0
    assert replay_since(post.engine, LONG_AGO) == ReplayCount(repeated=10)
    # Pending ones are left as they are
    assert replay_since(post.engine, LONG_AGO) == replay_since(post.engine, LONG_AGO, dry_run=True) == ReplayCount()
    post.tick()
    assert len(receiver.got) == 2 * sent
    assert {each.event_id for each in receiver.got[sent:]} == {each.event_id for each in receiver.got[:sent]}


def test_an_endpoint_that_came_later_gets_what_was_before(post: Post, receiver: Receiver) -> None:
    post.buy()
    endpoint, _ = post.subscribe(receiver.url, "order.placed", "checkout.completed")
    assert replay_since(post.engine, LONG_AGO, dry_run=True) == ReplayCount(created=2)
    assert post.rows() == []
    assert replay_since(post.engine, LONG_AGO, kinds=["order.placed"]) == ReplayCount(created=1)
    assert replay_since(post.engine, LONG_AGO, endpoint_id=endpoint.id) == ReplayCount(created=1)
    post.tick()
    assert len(receiver.got) == 2


def test_only_the_endpoint_the_owner_and_the_time_that_are_named(post: Post, receiver: Receiver) -> None:
    post.buy()
    post.subscribe(receiver.url, owner="shop-2")
    mine, _ = post.subscribe(receiver.url, "order.placed")
    gone, _ = post.subscribe(receiver.url)
    post.shelf.run("UPDATE webhook_endpoints SET active = false WHERE id = :id", id=gone.id)
    for nothing in (gone.id, UUID(int=0)):
        assert replay_since(post.engine, LONG_AGO, endpoint_id=nothing) == ReplayCount()
    assert replay_since(post.engine, datetime.now(UTC) + timedelta(hours=1)) == ReplayCount()
    assert replay_since(post.engine, LONG_AGO) == ReplayCount(created=1)
    assert post.rows("endpoint_id") == [(mine.id,)]


def test_a_kind_that_is_not_delivered_is_refused(engine: Engine) -> None:
    with pytest.raises(Invalid, match=r"order\.late_answer is none of the events"):
        replay_since(engine, LONG_AGO, kinds=["order.late_answer"])


def test_an_endpoint_for_all_kinds_gets_those_of_later_releases(post: Post, receiver: Receiver) -> None:
    endpoint, _ = post.subscribe(receiver.url)
    assert list(endpoint.kinds) == [EVERY_KIND]
    with post.engine.connect() as connection:
        assert [list(each.kinds) for each in list_endpoints(connection)] == [["*"]]
    post.buy()
    kinds = [
        kind
        for (kind,) in post.shelf.rows(
            "SELECT DISTINCT kind FROM events e JOIN webhook_deliveries d ON d.event_id = e.id ORDER BY 1"
        )
    ]
    assert kinds == ["checkout.completed", "checkout.phase_completed", "checkout.started", "order.placed"]
