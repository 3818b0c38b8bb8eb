"""One served application for the tests of a file; each finds its tables empty.

It works on the run's own database and queues: no other test may run beside it, so that it ends with its file.
"""

from collections.abc import Iterator
from typing import Final

import httpx2
import pytest
from sqlalchemy import Engine

from pipeline.audit import audit
from pipeline.security import Scope, create_key
from pipeline.settings import Settings
from tests.integration.workers.web.problems import count
from tests.integration.workers.web.stage import Stage, find_url, serve, spin_until, work
from tests.support.harness import Shelf
from workers.bootstrap import Components
from workers.web.server import Server

#: Patient enough for a busy machine.
TIMES: Final = {"redeliver_after_seconds": 2.0, "gateway_timeout_seconds": 2.0, "gateway_lease_seconds": 3.0}
#: All tests come from one address.
MANY: Final = {"web_sign_ins_per_minute": 1000, "web_anonymous_per_minute": 100_000}


@pytest.fixture(scope="module")
def web_settings(run_settings: Settings) -> Settings:
    """Settings of the HTTP process and its workers."""
    return run_settings.model_copy(update=TIMES | MANY)


@pytest.fixture(scope="module")
def workers(web_settings: Settings) -> Iterator[Components]:
    """Every actor, on threads."""
    with work(web_settings) as engine:
        yield engine


@pytest.fixture(scope="module")
def server(web_settings: Settings) -> Iterator[Server]:
    """The served application."""
    with serve(web_settings) as server:
        yield server


@pytest.fixture
def stage(engine: Engine, web_settings: Settings, workers: Components, server: Server, shelf: Shelf) -> Iterator[Stage]:
    """The application on empty tables. Whatever a test does with it, the audit must be clean at its end."""
    stage = Stage(web_settings, server, workers, engine, shelf, find_url(server))
    yield stage
    stage.close()
    # The next test empties the tables: no worker may use them any more.
    spin_until(stage.is_idle, "the workers are idle")
    with engine.connect() as connection:
        assert audit(connection, web_settings) == []


@pytest.fixture
def cup(stage: Stage) -> httpx2.Client:
    """A client of a shop that has nine cups."""
    stage.shelf.add_variant("cup", stock=9, price_minor=250)
    return stage.client()


@pytest.fixture
def unchanged(stage: Stage, cup: httpx2.Client) -> Iterator[None]:
    """Nothing is written by what is refused."""
    del cup
    before = count(stage)
    yield
    assert count(stage) == before
    assert stage.shelf.stock("cup") == (9, 0)


@pytest.fixture
def desk(stage: Stage) -> httpx2.Client:
    """A client with an admin's key."""
    return stage.client(Scope.ADMIN, owner="staff")


@pytest.fixture
def browser(stage: Stage) -> httpx2.Client:
    """A browser, as far as the server sees one, that has signed in as `ada`."""
    client = stage.client(token="none")
    client.headers.pop("Authorization")
    client.headers.update({"Accept": "text/html", "Origin": stage.url})
    with stage.engine.begin() as connection:
        record, token = create_key(connection, owner="staff", name="ada", scopes=[Scope.ADMIN])
    answer = client.post("/admin/sign-in", data={"key": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/checkout-locks")
    client.headers["X-Key-Id"] = record.id
    return client
