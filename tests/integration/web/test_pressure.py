"""While checkouts do not get through, new ones are refused; what has been started is finished."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx2
import pytest

from tests.integration.web.problems import count
from tests.integration.web.stage import BODY, Stage, pay, put_cart, read_status, spin_until, start

OLD = "UPDATE checkouts SET sent_at = now() - interval '31 s' WHERE id = :id"


@pytest.fixture
def backlog(stage: Stage, cup: httpx2.Client) -> Iterator[UUID]:
    """A checkout that has waited half a minute for its worker, as if there were none."""
    checkout_id = UUID(start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"])
    stage.shelf.run(
        "UPDATE checkouts SET state = 'running', due_at = now() + interval '1 min', due_reason = 'stalled',"
        " sent_at = now() - interval '31 s' WHERE id = :id",
        id=checkout_id,
    )
    yield checkout_id
    stage.shelf.run(
        "UPDATE checkouts SET state = 'awaiting_payment', due_at = NULL, due_reason = NULL WHERE id = :id",
        id=checkout_id,
    )
    # A look is shared for a second: the next test must not be kept out by this one's.
    spin_until(lambda: cup.get("/checkout", params={"cart_id": str(uuid4())}).status_code == 404, "it is over")


def wait_until_refused(client: httpx2.Client) -> httpx2.Response:
    """Return the refusal, once the last look is a second old."""
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


def test_one_that_nobody_can_work_on_keeps_nobody_out(stage: Stage, cup: httpx2.Client, backlog: UUID) -> None:
    wait_until_refused(cup)
    stage.shelf.run("UPDATE checkouts SET attempts = 1 WHERE id = :id", id=backlog)
    spin_until(lambda: start(cup, put_cart(cup, ("cup", 1))).status_code == 200, "it is started")
    assert read_status(cup, checkout_id=backlog)["state"] == "running"
