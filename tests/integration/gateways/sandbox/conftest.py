"""Two gateways of the same bank, as two processes would have, and its ledger checked after every test."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.invariants import DISAGREEMENTS
from pipeline.settings import Settings


@pytest.fixture
def patient(settings: Settings) -> Settings:
    """Settings with which a busy machine is not mistaken for a bank that does not answer."""
    return settings.model_copy(update={"gateway_timeout_seconds": 20.0}).with_gateway_options(hang_seconds=0.2)


@pytest.fixture
def bank(patient: Settings, engine: Engine) -> Iterator[SandboxGateway]:
    """The bank over empty tables; at the end every amount must be the sum of its ledger."""
    gateway = SandboxGateway(patient)
    yield gateway
    gateway.close()
    with engine.connect() as connection:
        assert connection.execute(text(DISAGREEMENTS)).all() == []


@pytest.fixture
def other_bank(patient: Settings, engine: Engine) -> Iterator[SandboxGateway]:
    """The same bank, called from another process."""
    gateway = SandboxGateway(patient)
    yield gateway
    gateway.close()
