"""An engine with an endpoint for its events."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline.settings import Settings
from pipeline.webhooks.outbound import Dispatcher
from tests.integration.webhooks.outbound.post import Post
from tests.integration.webhooks.outbound.receiver import Receiver, receive
from tests.support.harness import Shelf, Works


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The receiver of the webhooks."""
    with receive() as receiver:
        yield receiver


@pytest.fixture
def post(works: Works, shelf: Shelf, engine: Engine, settings: Settings) -> Iterator[Post]:
    """The dispatcher beside the engine; 127.0.0.0/8 may be called.

    An endpoint has the default time to respond: one that shares a busy machine with the dispatcher is not a silent one.
    """
    own = settings.model_copy(update={"outbound_webhook_private_networks": "127.0.0.0/8"})
    dispatcher = Dispatcher(works.transactions, own)
    shelf.add_variant("cup", stock=50, price_minor=250)
    yield Post(works, shelf, engine, own, dispatcher)
    dispatcher.close()
