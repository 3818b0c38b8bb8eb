"""The feed of an owner's events: nothing is skipped, nothing is repeated, whatever commits late."""

import random
import re
from functools import partial
from pathlib import Path
from threading import Event as Signal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from pipeline.database import reading
from pipeline.errors import Invalid
from pipeline.webhooks.outbound import feed
from pipeline.webhooks.outbound.feed import NOW, FeedPage, read_feed
from tests.support.harness import OWNER, Shelf, Works
from tests.support.rivals import Crowd

ROOT = Path(__file__).parents[4]

TELL = text("""
    INSERT INTO events (checkout_id, kind, owner, data) VALUES (:id, :kind, :owner, CAST(:data AS jsonb))
""")


@pytest.fixture
def checkout_id(works: Works, shelf: Shelf) -> UUID:
    """A checkout whose events are told by the test."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    found = works.start(shelf.add_cart(("cup", 1)))
    shelf.force("DELETE FROM events")
    return found


def tell(connection: Connection, checkout_id: UUID, *kinds: str, owner: str = OWNER, data: str = "{}") -> None:
    """Append events."""
    for kind in kinds:
        connection.execute(TELL, {"id": checkout_id, "kind": kind, "owner": owner, "data": data})


def read(engine: Engine, after: str | None = None, **given: Any) -> FeedPage:
    """Read a page."""
    with reading(engine) as connection:
        return read_feed(connection, given.pop("owner", OWNER), after=after, **given)


def kinds(page: FeedPage) -> list[str]:
    """Return what a page tells."""
    return [each.kind for each in page.events]


def drain(engine: Engine, after: str | None, limit: int) -> tuple[list[str], str]:
    """Read every page from here on; return what they tell, and the cursor after them."""
    found: list[str] = []
    while True:
        page = read(engine, after, limit=limit)
        found += kinds(page)
        after = page.next_after
        if not page.has_more:
            return found, after


def test_an_event_that_commits_late_is_not_skipped(engine: Engine, checkout_id: UUID) -> None:
    # Given a transaction that has drawn an id, and is open while others commit
    with engine.connect() as slow:
        tell(slow, checkout_id, "slow")
        with engine.begin() as quick:
            tell(quick, checkout_id, "quick-1", "quick-2")
        # Then nothing is told that is as new as the open one
        page = read(engine)
        assert (kinds(page), page.has_more) == ([], False)
        slow.commit()
    # When it has committed, then each is told once
    with engine.begin() as last:
        tell(last, checkout_id, "last")
    page = read(engine, page.next_after, limit=2)
    assert (kinds(page), page.has_more) == (["slow", "quick-1"], True)
    assert drain(engine, page.next_after, 1)[0] == ["quick-2", "last"]


def test_what_was_told_before_an_open_transaction_is_told(engine: Engine, checkout_id: UUID) -> None:
    with engine.begin() as first:
        tell(first, checkout_id, "first")
    with engine.connect() as slow:
        tell(slow, checkout_id, "slow")
        page = read(engine)
        assert kinds(page) == ["first"]
        assert kinds(read(engine, page.next_after)) == []
        slow.rollback()
    assert kinds(read(engine, page.next_after)) == []


def test_what_is_rolled_back_is_never_told_and_holds_nothing_back(engine: Engine, checkout_id: UUID) -> None:
    with engine.connect() as failed:
        tell(failed, checkout_id, "failed")
        with engine.begin() as quick:
            tell(quick, checkout_id, "quick")
        failed.rollback()
    assert drain(engine, None, 1)[0] == ["quick"]


def test_a_transaction_that_writes_nothing_here_holds_the_feed_back_only_while_it_is_open(
    engine: Engine, checkout_id: UUID
) -> None:
    with engine.connect() as other:
        other.exec_driver_sql("SELECT pg_current_xact_id()")
        with engine.begin() as quick:
            tell(quick, checkout_id, "quick")
        assert kinds(read(engine)) == []
        other.rollback()
    assert kinds(read(engine)) == ["quick"]


def test_readers_beside_many_writers_meet_each_event_once(engine: Engine, crowd: Crowd, checkout_id: UUID) -> None:
    # Given writers whose transactions overlap, some of them rolled back
    over = Signal()

    def write(seed: int) -> list[str]:
        chance, written = random.Random(seed), []
        for n in range(40):
            with engine.connect() as connection:
                told = [f"{seed}-{n}-{i}" for i in range(chance.randint(1, 3))]
                for each in told:
                    tell(connection, checkout_id, each)
                    connection.exec_driver_sql(f"SELECT pg_sleep({chance.random() / 200})")
                if chance.random() < 0.2:
                    connection.rollback()
                else:
                    connection.commit()
                    written += told
        return written

    def follow() -> list[str]:
        found: list[str] = []
        after = None
        while True:
            is_over = over.is_set()
            told, after = drain(engine, after, 7)
            found += told
            if is_over:
                return found

    readers = [crowd.begin(follow) for _ in range(2)]
    writers = [crowd.begin(partial(write, seed)) for seed in range(4)]
    written = [each for writer in writers for each in writer.result()]
    over.set()
    # Then
    for reader in readers:
        found = reader.result()
        assert len(found) == len(set(found))
        assert set(found) == set(written)


def test_an_event_has_its_facts_without_secrets(engine: Engine, works: Works, shelf: Shelf, checkout_id: UUID) -> None:
    works.pay(checkout_id)
    works.pump()
    order = shelf.row("SELECT id, number FROM orders")
    [placed] = [each for each in read(engine, limit=500).events if each.kind == "order.placed"]
    assert (placed.checkout_id, placed.order_id, placed.order_number, placed.data) == (
        *(checkout_id, order.id, order.number),
        {},
    )
    with engine.begin() as connection:
        action = '{"action": {"type": "redirect", "client_secret": "x", "url": "https://bank.example/x"}}'
        tell(connection, checkout_id, "checkout.action_required", data=action)
    told = read(engine, limit=500).events[-1]
    assert told.data == {"action": {"type": "redirect", "url": "https://bank.example/x"}}
    assert read(engine, owner="shop-2").events == ()


def test_now_is_after_everything_that_there_is(engine: Engine, checkout_id: UUID) -> None:
    with engine.begin() as connection:
        tell(connection, checkout_id, "old")
    page = read(engine, NOW)
    assert kinds(page) == []
    with engine.begin() as connection:
        tell(connection, checkout_id, "new")
    assert kinds(read(engine, page.next_after)) == ["new"]


def test_a_page_of_large_events_ends_early(engine: Engine, checkout_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_STORED_BYTES", 4000)
    with engine.begin() as connection:
        for n in range(5):
            tell(connection, checkout_id, str(n), data='{"text": "' + uuid4().hex * 60 + str(n) + '"}')
            tell(connection, checkout_id, f"{n}-random", data=f'{{"text": "{random.Random(n).randbytes(1500).hex()}"}}')
    page = read(engine)
    assert 0 < len(page.events) < 10
    assert page.has_more
    assert len(drain(engine, None, 500)[0]) == 10


@pytest.mark.parametrize(
    "cursor", ["", "x", "null", "å", "A" * 22, "A" * 42, "A" * 42 + "=", "_" * 43, "A" * 500, "\x00"]
)
def test_a_text_that_is_no_cursor_is_refused(engine: Engine, cursor: str) -> None:
    if cursor == "A" * 22:
        assert read(engine, cursor).events == ()  # the beginning
        return
    with pytest.raises(Invalid, match="after is no cursor of this feed"):
        read(engine, cursor)


@pytest.mark.parametrize(("transaction_id", "id_"), [(2**60, 1), (0, 2**63)])
def test_a_cursor_of_another_database_is_refused(engine: Engine, transaction_id: int, id_: int) -> None:
    ahead = feed._Position(transaction_id, id_).write()
    with pytest.raises(Invalid, match="a cursor of another database"):
        read(engine, ahead)


def test_the_statements_of_the_guide_make_a_restored_feed_readable(engine: Engine, checkout_id: UUID) -> None:
    # Given events of a dump, whose transactions have numbers that lie ahead of this server's
    with engine.begin() as connection:
        tell(connection, checkout_id, "first", "second")
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("UPDATE events SET transaction_id = CAST(CAST(2^61 AS bigint)::text AS xid8)")
    assert kinds(read(engine)) == []
    # When
    page = (ROOT / "docs" / "production.md").read_text()
    [statements] = re.findall(r"```sql\n(BEGIN;.*?COMMIT;)\n```", page, re.DOTALL)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements.splitlines():
            connection.exec_driver_sql(statement)
    with engine.begin() as connection:
        tell(connection, checkout_id, "third")
    # Then
    assert kinds(read(engine)) == ["first", "second", "third"]
    triggers = "SELECT tgenabled FROM pg_trigger WHERE tgname = 'append_only' AND tgrelid = 'events'::regclass"
    with engine.connect() as connection:
        assert connection.exec_driver_sql(triggers).scalar_one() == "O"


def test_a_detached_month_is_named(engine: Engine, shelf: Shelf, checkout_id: UUID) -> None:
    with engine.begin() as connection:
        tell(connection, checkout_id, "kept")
    assert read(engine).detached_until is None
    shelf.run("""
        INSERT INTO detached_months (month, from_id, until_id)
        SELECT m, first_id_of(m), first_id_of(m) FROM unnest(CAST('{2025-11-01, 2025-12-01}' AS date[])) AS g (m)
    """)
    page = read(engine, feed._Position(0, 0).write())
    assert (str(page.detached_until), kinds(page)) == ("2026-01-01", ["kept"])
    shelf.force("DELETE FROM detached_months")


def test_a_page_costs_the_same_wherever_it_is(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("""
            INSERT INTO events (checkout_id, kind, owner, transaction_id)
            SELECT first_id_of(CAST(now() + make_interval(months => mod(n, 3)) AS date)), 'k',
                   CASE WHEN mod(n, 1000) = 0 THEN 'rare' ELSE 'shop' END, CAST(CAST(n / 100 AS text) AS xid8)
            FROM generate_series(1, 20000) AS n
        """)
        connection.exec_driver_sql("ANALYZE events")
        for owner in ("rare", "shop", "none"):
            for after in (None, feed._Position(100, 1).write(), NOW):
                assert count_rows(connection, owner, after) < 400, (owner, after)
        transaction.rollback()


def count_rows(connection: Connection, owner: str, after: str | None) -> int:
    """Return how many rows of events a page made the database read, in all partitions."""
    counted = text("""
        SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables
        WHERE relname LIKE 'events%' OR relname = 'orders'
    """)
    before = connection.execute(counted).scalar_one()
    read_feed(connection, owner, after=after)
    return int(connection.execute(counted).scalar_one() - before)
