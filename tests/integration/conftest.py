"""What integration tests share: the environment of commands, a second engine beside the first, threads to race in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline.database import connect_engine
from pipeline.settings import Settings
from tests.support.harness import Works, build_works
from tests.support.mail import Mail, open_mail
from tests.support.rivals import Crowd


@pytest.fixture
def environment(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The two addresses, in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)
    addresses = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }
    for name, value in addresses.items():
        monkeypatch.setenv(name, value)
    return addresses


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
