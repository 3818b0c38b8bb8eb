"""A writer that counts: each number that it was told is committed must be in the database at the end."""

import threading
import time
from contextlib import suppress
from typing import Any, Final

import psycopg

from scripts.distributed.layout import SUPERUSER, name_database_url

#: Beside the engine's database, so that its schema stays what the migrations make it.
DATABASE: Final = "commits"
PAUSE_SECONDS: Final = 0.02
JOIN_SECONDS: Final = 60.0
OPTIONS: Final[dict[str, Any]] = {
    "autocommit": True,
    "connect_timeout": 2,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}


def make_commits() -> None:
    """Make the database and its table, unless they are there."""
    with psycopg.connect(name_database_url(SUPERUSER, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
            return
        connection.execute(f"CREATE DATABASE {DATABASE}")
    with psycopg.connect(name_database_url(SUPERUSER, DATABASE), autocommit=True) as connection:
        connection.execute("CREATE TABLE numbers (writer text, number bigint, PRIMARY KEY (writer, number))")


class Writer:
    """Inserts one number after another, in a thread. Start it inside the namespace that it writes from."""

    def __init__(self, name: str, url: str | None = None) -> None:
        """Write to the primary, whichever host it is on, or to the server of a URL."""
        self.name = name
        self.acknowledged: list[int] = []
        self._moments: list[float] = []
        self._url = url or name_database_url(SUPERUSER, DATABASE)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name=f"writer {name}", daemon=True)

    def __enter__(self) -> "Writer":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join(JOIN_SECONDS)

    def list_moments(self) -> list[float]:
        """Return when each number was acknowledged, on the monotonic clock."""
        return list(self._moments)

    def _keep_writing(self) -> None:
        number = 0
        while not self._stopping.is_set():
            with suppress(psycopg.Error), psycopg.connect(self._url, **OPTIONS) as connection:
                while not self._stopping.wait(PAUSE_SECONDS):
                    number += 1
                    connection.execute("INSERT INTO numbers VALUES (%s, %s)", (self.name, number))
                    self.acknowledged.append(number)
                    self._moments.append(time.monotonic())
            self._stopping.wait(PAUSE_SECONDS)


def count_lost(writers: list[Writer]) -> int:
    """Return how many acknowledged numbers the primary does not have."""
    given = {writer.name: list(writer.acknowledged) for writer in writers}
    with psycopg.connect(name_database_url(SUPERUSER, DATABASE), **OPTIONS) as connection:
        found = set(connection.execute("SELECT writer, number FROM numbers").fetchall())
    return sum((name, number) not in found for name, numbers in given.items() for number in numbers)
