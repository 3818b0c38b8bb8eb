"""An edge that is a cell: its keys, its order numbers, keys of other cells, and shops that move."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Final
from uuid import uuid4

import httpx2
import pytest
from dramatiq import Message

from models.cells import find_cell, find_number_base
from pipeline.messaging import INTAKE
from pipeline.operations.cells import gate
from pipeline.security import Scope, create_key, revoke_key
from pipeline.settings import Settings
from tests.integration.workers.web.conftest import MANY, TIMES
from tests.integration.workers.web.stage import BODY, Stage, pay, put_cart, spin_until, start
from tests.support.harness import OWNER

CELL: Final = "eu1"
OTHER: Final = "ck_b_" + "a" * 12 + "_" + "b" * 43


@pytest.fixture(scope="module")
def web_settings(run_settings: Settings) -> Settings:
    """Those of a cell."""
    return run_settings.model_copy(update={**TIMES, **MANY, "cell": CELL})


def make_token(stage: Stage, *scopes: Scope) -> str:
    """Return a new key of this cell."""
    with stage.engine.begin() as connection:
        return create_key(connection, owner="shop-1", name="till", scopes=scopes, cell=CELL)[1]


def test_orders_of_a_cell_have_its_numbers(stage: Stage, cup: httpx2.Client) -> None:
    paid = pay(cup, {"cart_id": put_cart(cup, ("cup", 1))}).json()
    assert (paid["state"], find_cell(paid["order_number"])) == ("completed", CELL)
    [(number, drawn)] = stage.shelf.rows("SELECT number, (SELECT last_value FROM order_numbers) FROM orders")
    assert number == paid["order_number"] == find_number_base(CELL) + drawn


def test_new_keys_name_the_cell_and_old_ones_go_on_working(stage: Stage) -> None:
    token = make_token(stage, Scope.CHECKOUT)
    assert re.fullmatch(rf"ck_{CELL}_[A-Za-z0-9]{{12}}_[A-Za-z0-9]{{43}}", token)
    old = stage.token(Scope.CHECKOUT)
    assert re.fullmatch(r"ck_[A-Za-z0-9]{12}_[A-Za-z0-9]{43}", old)
    statuses = [put_cart(stage.client(token=each), ("cup", 1)) for each in (token, old)]
    assert len(set(statuses)) == 2
    # The same key without its cell, or with that of another, is the same key: its secret is the proof.
    assert stage.client(token="ck_" + token.removeprefix(f"ck_{CELL}_")).get("/metrics").status_code == 401


def test_a_key_of_another_cell_is_refused_with_its_name(stage: Stage, unchanged: None) -> None:
    del unchanged
    answer = stage.client(token=OTHER).get("/metrics")
    assert answer.status_code == 421
    assert answer.json() == {
        "type": "urn:checkout:problem:cell_wrong",
        "title": "Misdirected Request",
        "status": 421,
        "detail": 'The API key is one of cell "b", and this is another cell: send the request to that one.',
        "code": "cell_wrong",
        "facts": {"cell": "b"},
    }
    assert "WWW-Authenticate" not in answer.headers
    # One of this cell that is unknown or revoked is invalid, not misdirected.
    assert stage.client(token=OTHER.replace("_b_", f"_{CELL}_")).get("/metrics").status_code == 401


def test_a_revoked_key_of_this_cell_is_invalid(stage: Stage) -> None:
    with stage.engine.begin() as connection:
        record, token = create_key(connection, owner="shop-1", name="till", scopes=[Scope.ADMIN], cell=CELL)
    assert stage.client(token=token).get("/metrics").status_code == 200
    with stage.engine.begin() as connection:
        revoke_key(connection, record.id)
    assert stage.client(token=token).get("/metrics").status_code == 401


def test_the_sign_in_names_the_other_cell(stage: Stage) -> None:
    with httpx2.Client(base_url=stage.url) as client:
        page = client.post("/admin/sign-in", data={"key": OTHER, "next": ""}, headers={"Origin": stage.url})
    assert page.status_code == 401
    assert "The API key is one of cell" in page.text


def test_metrics_name_the_cell(stage: Stage) -> None:
    text = stage.client(token=make_token(stage, Scope.ADMIN)).get("/metrics").text
    assert f'checkout_cell_info{{cell="{CELL}"}} 1.0' in text.splitlines()


@pytest.fixture
def moving(stage: Stage) -> Iterator[Callable[[str], None]]:
    """What puts the shop in a state of its move; its gate is taken away at the end."""
    with stage.engine.begin() as connection:
        gate.begin_draining(connection, OWNER, uuid4(), "b")

    def put(state: str) -> None:
        stage.shelf.run("UPDATE owner_moves SET state = :state", state=state)

    yield put
    stage.shelf.run("DELETE FROM owner_moves")
    with stage.engine.begin() as connection:
        gate.remove_triggers(connection)


def test_while_a_shop_drains_a_started_checkout_is_paid_and_no_other_one_starts(
    stage: Stage, request: pytest.FixtureRequest
) -> None:
    # Given
    stage.shelf.add_variant("cup", stock=9, price_minor=250)
    client, other = stage.client(), stage.client(owner="shop-2")
    started = start(client, put_cart(client, ("cup", 1))).json()
    request.getfixturevalue("moving")
    # When
    new = put_cart(client, ("cup", 1))
    refused = [start(client, new), pay(client, {"cart_id": new}, key="purchase-1")]
    # Then
    for each in refused:
        assert (each.status_code, each.json()["code"], each.headers["Retry-After"]) == (503, "owner_moving", "5")
        assert each.json()["facts"] == {"cell": "b", "seconds": 5}
    assert start(client, started["cart_id"]).status_code == 200
    paid = pay(client, {"checkout_id": started["checkout_id"]})
    assert (paid.status_code, paid.json()["state"]) == (200, "completed")
    # The other shop sells, and the refused purchase can be repeated with its key.
    assert pay(other, {"cart_id": put_cart(other, ("cup", 1))}).json()["state"] == "completed"
    stage.shelf.run("DELETE FROM owner_moves")
    assert pay(client, {"cart_id": new}, key="purchase-1").json()["state"] == "completed"


def test_a_closed_shop_is_read_and_not_written(stage: Stage, cup: httpx2.Client, moving: Callable[[str], None]) -> None:
    paid = put_cart(cup, ("cup", 1))
    moving("closed")
    assert cup.get(f"/carts/{paid}").status_code == 200
    refused = [start(cup, paid), pay(cup, {"cart_id": paid}), cup.put(f"/carts/{paid}", json=BODY)]
    assert [(each.status_code, each.json()["code"]) for each in refused] == [(503, "owner_moving")] * 3
    assert stage.shelf.rows("SELECT count(*) FROM checkouts") == [(0,)]


def test_a_moved_shop_is_named_its_cell(stage: Stage, cup: httpx2.Client, moving: Callable[[str], None]) -> None:
    cart_id = put_cart(cup, ("cup", 1))
    moving("moved")
    answers = [cup.get(f"/carts/{cart_id}"), start(cup, cart_id), pay(cup, {"cart_id": cart_id})]
    assert [(each.status_code, each.json()["facts"]) for each in answers] == [(421, {"cell": "b"})] * 3
    assert stage.client(owner="shop-2").get(f"/carts/{cart_id}").status_code == 404


def test_a_message_of_a_moving_shop_waits_and_is_then_refused_with_the_cell(
    stage: Stage, cup: httpx2.Client, moving: Callable[[str], None]
) -> None:
    cart_id = put_cart(cup, ("cup", 1))
    request = {"owner": OWNER, "cart_id": str(cart_id), "idempotency_key": "message-1"}
    name = INTAKE.removeprefix("checkout.")
    stage.workers.broker.enqueue(Message(INTAKE, name, args=(request,), kwargs={}, options={}))
    time.sleep(0.5)
    assert stage.shelf.rows("SELECT code FROM rejected_messages") == []
    assert not stage.is_idle()
    moving("moved")
    spin_until(lambda: stage.shelf.rows("SELECT code FROM rejected_messages") == [("cell_wrong",)], "it is refused")
    assert stage.shelf.rows("SELECT count(*) FROM checkouts") == [(0,)]
