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


@pytest.fixture
def numbered(engine: Engine) -> None:
    """Orders have the numbers of a new database: 1001, 1002, ..."""
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER SEQUENCE order_numbers RESTART")
