"""While checkouts do not get through, new ones are refused; what has been started is finished."""

import asyncio
import json
import re
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import text

from pipeline.saga import CHAIN
from tests.integration.workers.web.pauses import pause_checkout, rest
from tests.integration.workers.web.problems import count
from tests.integration.workers.web.stage import BODY, Stage, pay, put_cart, read_status, spin_until, start
from workers.web.app import build_context
from workers.web.context import WebContext
from workers.web.protection.load_shedding import WAITED, LoadShedding, read_waited

#: A thousand checkouts before the third phase, the oldest of them for a minute.
WAITING = """
    INSERT INTO checkouts (id, cart_id, owner, currency, state, phase, straight_through, expires_at, sent_at, due_at,
                           due_reason)
    SELECT gen_random_uuid(), gen_random_uuid(), 'shop', 'EUR', 'running', 2, true, now(),
           now() - make_interval(secs => n * 0.06), now() + interval '1 h', 'stalled' FROM generate_series(1, 1000) n
"""
OLD = "UPDATE checkouts SET sent_at = now() - interval '31 s' WHERE id = :id"


@pytest.fixture
def backlog(stage: Stage, cup: httpx2.Client) -> Iterator[UUID]:
    """A checkout that has waited half a minute for its worker, as if there were none."""
    checkout_id = pause_checkout(stage, cup)
    stage.shelf.run(OLD, id=checkout_id)
    yield checkout_id
    rest(stage, checkout_id)
    # A reading is shared for a second: the next test must not be refused by this one's.
    spin_until(lambda: cup.get("/checkout", params={"cart_id": str(uuid4())}).status_code == 404, "it is over")


def wait_until_refused(client: httpx2.Client) -> httpx2.Response:
    """Return the refusal, once the last reading is a second old."""
    refused: list[httpx2.Response] = []

    def is_refused() -> bool:
        answer = client.get("/checkout", params={"cart_id": str(uuid4())})
        refused.append(answer)
        return answer.status_code == 503

    spin_until(is_refused, "new checkouts are refused")
    return refused[-1]


def test_new_checkouts_are_refused_and_nothing_is_begun(stage: Stage, cup: httpx2.Client, backlog: UUID) -> None:
    answer = wait_until_refused(cup)
    assert (answer.json()["code"], answer.headers["retry-after"]) == ("overloaded", "15")
    before = count(stage)
    # When one comes with a cart and a key
    key = str(uuid4())
    body = {"cart": {"id": str(uuid4()), **BODY}}
    refused = pay(cup, body, key=key)
    # Then nothing is written, and the key is not used up
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "overloaded", "15")
    assert count(stage) == before
    # When the backlog is over
    stage.shelf.run("UPDATE checkouts SET sent_at = now() WHERE id = :id", id=backlog)
    spin_until(lambda: pay(cup, body, key=key).status_code == 200, "it is taken")
    assert stage.shelf.stock("cup") == (8, 1)


def test_what_was_started_is_paid(stage: Stage, cup: httpx2.Client, backlog: UUID) -> None:
    stage.shelf.run("UPDATE checkouts SET sent_at = now() WHERE id = :id", id=backlog)
    spin_until(lambda: start(cup, put_cart(cup, ("cup", 1))).status_code == 200, "it is started")
    [(other,)] = stage.shelf.rows("SELECT id FROM checkouts WHERE state = 'awaiting_payment'")
    stage.shelf.run(OLD, id=backlog)
    wait_until_refused(cup)
    assert pay(cup, {"checkout_id": other}).json()["state"] == "completed"


def test_one_that_no_worker_can_process_sheds_no_others(stage: Stage, cup: httpx2.Client, backlog: UUID) -> None:
    wait_until_refused(cup)
    stage.shelf.run("UPDATE checkouts SET attempts = 1 WHERE id = :id", id=backlog)
    spin_until(lambda: start(cup, put_cart(cup, ("cup", 1))).status_code == 200, "it is started")
    assert read_status(cup, checkout_id=backlog)["state"] == "running"


def test_the_oldest_of_a_phase_is_found_without_reading_the_others(stage: Stage) -> None:
    # Given a thousand that wait, the oldest of them for a minute
    with stage.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(WAITING))
    with stage.engine.connect() as connection:
        connection.execute(text("ANALYZE checkouts"))
        assert 60 <= read_waited(connection) < 120
        plan = connection.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {WAITED.text}"), {"last": len(CHAIN) - 1})
        found = json.dumps(plan.scalar_one())
    # Then of each phase one row was read, by the index
    assert "checkouts_stalled_idx" in found
    assert max(int(rows) for rows in re.findall(r'"Actual Rows": (\d+)', found)) <= len(CHAIN)
    with stage.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("DELETE FROM checkouts"))


def test_a_reading_that_hangs_delays_no_others(stage: Stage) -> None:
    async def come(context: WebContext) -> None:
        load_shedding = LoadShedding(context)
        with stage.engine.connect() as blocker:
            # Given that the reading hangs
            blocker.execute(text("LOCK TABLE checkouts IN ACCESS EXCLUSIVE MODE"))
            first = asyncio.create_task(load_shedding.admit())
            await asyncio.sleep(0.2)
            # When others come, then they go by the last look
            await asyncio.wait_for(asyncio.gather(*(load_shedding.admit() for _ in range(50))), 3)
            assert not first.done()
            blocker.rollback()
        await asyncio.wait_for(first, 30)

    context = build_context(stage.settings)
    try:
        asyncio.run(come(context))
    finally:
        context.threads.shutdown()
        context.components.close()
