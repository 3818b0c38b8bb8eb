"""An edge that is a cell: its keys, its order numbers, and what it says to keys of other cells."""

import re
from typing import Final

import httpx2
import pytest

from models.cells import find_cell, find_number_base
from pipeline.security import Scope, create_key, revoke_key
from pipeline.settings import Settings
from tests.integration.workers.web.conftest import MANY, TIMES
from tests.integration.workers.web.stage import Stage, pay, put_cart

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
