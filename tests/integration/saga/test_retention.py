"""The sweep's heartbeat, and the rows that it deletes."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from pipeline.saga.retention import DELETE_INBOUND_WEBHOOKS
from tests.support.harness import Shelf, Works

ANSWER = """
    INSERT INTO stored_responses (owner, key, fingerprint, leased_until, status, body, created_at)
    SELECT 'shop-1', 'key-' || n, 'f', now(), 200, '{}', now() - make_interval(hours => :hours)
    FROM generate_series(1, :count) n
"""
BEAT = "SELECT now() - at < interval '1 s' FROM heartbeats WHERE name = 'sweep'"


def test_every_tick_records_a_heartbeat_without_redis_too(works: Works, shelf: Shelf) -> None:
    # Given
    assert shelf.rows(BEAT) == []
    # When
    works.sweep()
    # Then
    assert shelf.rows(BEAT) == [(True,)]
    # When Redis is away
    shelf.run("UPDATE heartbeats SET at = now() - interval '1 h'")
    works.line.away = True
    works.sweep()
    # Then
    assert shelf.rows(BEAT) == [(True,)]


def test_a_tick_of_a_cell_records_its_name(works: Works, shelf: Shelf) -> None:
    cell = Works(shelf.engine, works.settings.model_copy(update={"cell": "eu1"}))
    try:
        cell.sweep()
    finally:
        cell.close()
    assert shelf.rows("SELECT name FROM heartbeats ORDER BY name") == [("cell eu1",), ("sweep",)]


def test_two_ticks_in_half_a_second_write_it_once(works: Works, shelf: Shelf) -> None:
    works.sweep()
    before = shelf.rows("SELECT at, xmin::text FROM heartbeats")
    works.sweep()
    assert shelf.rows("SELECT at, xmin::text FROM heartbeats") == before


def test_stored_responses_are_deleted_after_a_day_a_tick_at_a_time(works: Works, shelf: Shelf) -> None:
    # Given more than a tick takes on, and one that is young enough
    limit = works.settings.sweep_limit
    shelf.run(ANSWER, hours=25, count=limit + 3)
    shelf.run(ANSWER.replace("key-", "young-"), hours=23, count=1)
    # When
    counts = [works.sweep().deleted for _ in range(3)]
    # Then
    assert counts == [limit, 3, 0]
    assert shelf.rows("SELECT key FROM stored_responses") == [("young-1",)]


def test_delivered_webhooks_are_deleted_after_a_month(works: Works, shelf: Shelf) -> None:
    # Given one delivered long ago, one delivered lately, and one that was never delivered
    shelf.add_variant("cup", stock=1)
    shelf.run(
        "INSERT INTO webhook_endpoints (id, url, secret, kinds)"
        " VALUES (gen_random_uuid(), 'https://shop.example', 'whsec_', '{checkout.started}')"
    )
    for _ in range(3):
        works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    shelf.run("UPDATE webhook_deliveries SET status = 'delivered', due_at = NULL, ended_at = now()")
    [oldest, older, _] = [row[0] for row in shelf.rows("SELECT id FROM webhook_deliveries ORDER BY event_id")]
    age = "UPDATE webhook_deliveries SET ended_at = now() - interval '31 days' WHERE id = :id"
    shelf.run(age, id=oldest)
    shelf.run(age, id=older)
    shelf.run("UPDATE webhook_deliveries SET status = 'dead_lettered' WHERE id = :id", id=oldest)
    # When
    counts = works.sweep()
    # Then
    assert counts.deleted == 1
    assert shelf.rows("SELECT status FROM webhook_deliveries ORDER BY event_id") == [("dead_lettered",), ("delivered",)]


REFUSED = """
    INSERT INTO rejected_messages (queue, body, code, message, received_at)
    SELECT 'q', CAST(:body AS text) || n, 'c', 'm', now() - make_interval(hours => :hours)
    FROM generate_series(1, :count) n
"""


def test_rejected_messages_are_deleted_after_their_days_a_tick_at_a_time(works: Works, shelf: Shelf) -> None:
    # Given more than a tick takes on, and one that is an hour too young
    hours = works.settings.rejected_messages_keep_days * 24
    limit = works.settings.sweep_limit
    shelf.run(REFUSED, body="old-", hours=hours + 1, count=limit + 2)
    shelf.run(REFUSED, body="young-", hours=hours - 1, count=1)
    # When
    counts = [works.sweep().deleted for _ in range(3)]
    # Then
    assert counts == [limit, 2, 0]
    assert shelf.rows("SELECT body FROM rejected_messages") == [("young-1",)]


def receive(shelf: Shelf, event_id: str, *, days: int, due: bool = False) -> None:
    """Store a webhook of so many days ago."""
    at = datetime.now(UTC) - timedelta(days=days)
    shelf.run(
        "INSERT INTO webhook_inbox (id, gateway, event_id, kind, body, status, due_at, received_at)"
        " VALUES (:id, 'sandbox', :event_id, 'k', '{}', 'unmatched', :due_at, :at)",
        id=uuid7(nanoseconds=int(at.timestamp() * 1e9)),
        event_id=event_id,
        due_at=datetime.now(UTC) + timedelta(days=1) if due else None,
        at=at,
    )


def test_settled_inbound_webhooks_are_deleted_after_their_days(works: Works, shelf: Shelf) -> None:
    # Given one that is old, one that is old and still to be worked on, and one that is young
    days = works.settings.webhook_inbox_keep_days
    receive(shelf, "evt_old", days=days + 1)
    receive(shelf, "evt_due", days=days + 1, due=True)
    receive(shelf, "evt_young", days=days - 1)
    # When
    counts = [works.sweep().deleted for _ in range(2)]
    # Then
    assert counts == [1, 0]
    assert shelf.rows("SELECT event_id FROM webhook_inbox ORDER BY 1") == [("evt_due",), ("evt_young",)]


def test_a_tick_with_nothing_old_reads_no_webhook(works: Works, shelf: Shelf, engine: Engine) -> None:
    for number in range(60):
        receive(shelf, f"evt_{number}", days=1)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE webhook_inbox"))
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = text(f"EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off) {DELETE_INBOUND_WEBHOOKS.text}")
        plan = "\n".join(connection.execute(explain, {"days": 30, "limit": 500}).scalars())
    assert "Index Scan using webhook_inbox_pkey" in plan
    assert "Rows Removed" not in plan
