"""The sweep's sign of life, and what it forgets."""

from tests.harness import Shelf, Works

ANSWER = """
    INSERT INTO request_answers (owner, key, fingerprint, claimed_until, status, body, created_at)
    SELECT 'shop-1', 'key-' || n, 'f', now(), 200, '{}', now() - make_interval(hours => :hours)
    FROM generate_series(1, :count) n
"""
BEAT = "SELECT now() - at < interval '1 s' FROM heartbeats WHERE name = 'sweep'"


def test_every_tick_is_a_sign_of_life_with_redis_away_too(works: Works, shelf: Shelf) -> None:
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


def test_two_ticks_in_half_a_second_write_it_once(works: Works, shelf: Shelf) -> None:
    works.sweep()
    before = shelf.rows("SELECT at, xmin::text FROM heartbeats")
    works.sweep()
    assert shelf.rows("SELECT at, xmin::text FROM heartbeats") == before


def test_answers_are_forgotten_after_a_day_a_tick_at_a_time(works: Works, shelf: Shelf) -> None:
    # Given more than a tick takes on, and one that is young enough
    limit = works.settings.sweep_limit
    shelf.run(ANSWER, hours=25, count=limit + 3)
    shelf.run(ANSWER.replace("key-", "young-"), hours=23, count=1)
    # When
    counts = [works.sweep().forgotten for _ in range(3)]
    # Then
    assert counts == [limit, 3, 0]
    assert shelf.rows("SELECT key FROM request_answers") == [("young-1",)]


def test_deliveries_that_were_taken_are_forgotten_after_a_month(works: Works, shelf: Shelf) -> None:
    # Given one taken long ago, one taken lately, and one that was never taken
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
    shelf.run("UPDATE webhook_deliveries SET status = 'dead' WHERE id = :id", id=oldest)
    # When
    counts = works.sweep()
    # Then
    assert counts.forgotten == 1
    assert shelf.rows("SELECT status FROM webhook_deliveries ORDER BY event_id") == [("dead",), ("delivered",)]
