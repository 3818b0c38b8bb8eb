"""Edges whose servers are away, or say nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from pydantic import SecretStr

from pipeline.settings import Settings
from tests.integration.workers.web.stage import SECONDS, find_url, serve

NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"
NO_REDIS = "redis://127.0.0.1:1/0"


@contextmanager
def listen_and_say_nothing() -> Iterator[int]:
    """Accept connections on a port and never answer."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(64)
        yield mute.getsockname()[1]


@contextmanager
def open_web(settings: Settings, *, database: str | None = None, redis: str | None = None) -> Iterator[httpx2.Client]:
    """Serve the application on other servers, and yield a client of it, without a key."""
    changes = {}
    if database is not None:
        changes["database_url"] = SecretStr(database)
    if redis is not None:
        changes["redis_url"] = SecretStr(redis)
    with (
        serve(settings.model_copy(update=changes)) as server,
        httpx2.Client(base_url=find_url(server), timeout=SECONDS * 2) as client,
    ):
        yield client
