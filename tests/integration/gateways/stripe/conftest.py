"""One localstripe for all these tests; a front and an adapter for each."""

from collections.abc import Iterator

import pytest

from pipeline.gateways.stripe.gateway import StripeGateway
from tests.integration.gateways.stripe.front import Front, run_front
from tests.integration.gateways.stripe.local import Local, run_local
from tests.integration.gateways.stripe.purse import Purse
from tests.integration.gateways.stripe.setting import run_gateway


@pytest.fixture(scope="session")
def local() -> Iterator[Local]:
    """The process."""
    with run_local() as started:
        yield started


@pytest.fixture(scope="session")
def purse(local: Local) -> Purse:
    """Cards to pay with."""
    return Purse(
        good=local.make_card("4242424242424242"),
        declined=local.make_card("4000000000000341"),
        challenged=local.make_card("4000002500003155"),
    )


@pytest.fixture
def front(local: Local) -> Iterator[Front]:
    """A front with an empty record."""
    with run_front(local) as started:
        yield started


@pytest.fixture
def gateway(front: Front) -> Iterator[StripeGateway]:
    """The adapter, before the front."""
    with run_gateway(front.url) as built:
        yield built
