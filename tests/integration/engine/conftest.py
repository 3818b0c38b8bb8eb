"""A second engine beside the first, and threads to let them meet."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline.database.connections import connect_engine
from pipeline.settings import Settings
from tests.harness import Works, build_works
from tests.integration.engine.mail import Mail, open_mail
from tests.integration.engine.rivals import Crowd


@pytest.fixture
def rival(settings: Settings, works: Works) -> Iterator[Works]:
    """Another process's engine: its own connections, its own bank counter, its own queues, the same database."""
    engine = connect_engine(settings, application_name="rival")
    with build_works(engine, settings) as built:
        yield built
    engine.dispose()


@pytest.fixture
def crowd(engine: Engine) -> Iterator[Crowd]:
    """Threads beside the test's own."""
    threads = Crowd(engine)
    yield threads
    threads.close()


@pytest.fixture
def mail(engine: Engine, settings: Settings) -> Iterator[Mail]:
    """The webhooks of a bank, and an engine to read them. The audit must be clean at the end."""
    with open_mail(engine, settings) as opened:
        yield opened
