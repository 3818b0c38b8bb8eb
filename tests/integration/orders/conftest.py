"""Orders that were placed, and what is asked of them."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline.settings import Settings
from tests.integration.orders.counter import Counter


@pytest.fixture
def counter(engine: Engine, settings: Settings) -> Iterator[Counter]:
    """A shop with its engine and its bank."""
    opened = Counter(engine, settings.model_copy(update={"gateway_timeout_seconds": 3.0, "gateway_lease_seconds": 4.0}))
    yield opened
    opened.close()
