"""The stage on which payments are put to the proof."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline.settings import Settings
from tests.integration.payments.stage import Stage, open_stage


@pytest.fixture
def stage(engine: Engine, settings: Settings) -> Iterator[Stage]:
    """An engine and its bank. Both must agree at the end."""
    # A busy machine must not be mistaken for a slow bank: the tests end the leases, not the clock.
    calm = settings.model_copy(update={"gateway_timeout_seconds": 3.0, "gateway_lease_seconds": 4.0})
    with open_stage(engine, calm) as opened:
        yield opened
