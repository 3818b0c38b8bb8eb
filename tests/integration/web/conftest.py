"""One served edge for the tests of this folder; each finds its tables empty."""

from collections.abc import Iterator
from typing import Final

import pytest
from sqlalchemy import Engine

from pipeline.audit import audit
from pipeline.settings import Settings
from tests.harness import Shelf
from tests.integration.web.stage import Stage, find_url, serve, work
from workers.engine import CheckoutEngine
from workers.web.__main__ import Server

#: Patient enough for a busy machine.
TIMES: Final = {"stall_seconds": 2.0, "gateway_timeout_seconds": 2.0, "gateway_claim_seconds": 3.0}


@pytest.fixture(scope="package")
def edge_settings(run_settings: Settings) -> Settings:
    """Settings of the edge and its workers."""
    return run_settings.model_copy(update=TIMES)


@pytest.fixture(scope="package")
def workers(edge_settings: Settings) -> Iterator[CheckoutEngine]:
    """Every actor, on threads."""
    with work(edge_settings) as engine:
        yield engine


@pytest.fixture(scope="package")
def server(edge_settings: Settings) -> Iterator[Server]:
    """The edge."""
    with serve(edge_settings) as server:
        yield server


@pytest.fixture
def stage(
    engine: Engine, edge_settings: Settings, workers: CheckoutEngine, server: Server, shelf: Shelf
) -> Iterator[Stage]:
    """The edge on empty tables. Whatever a test does with it, the audit must be clean at its end."""
    stage = Stage(edge_settings, server, workers, engine, shelf, find_url(server))
    yield stage
    stage.close()
    with engine.connect() as connection:
        assert audit(connection, edge_settings) == []
