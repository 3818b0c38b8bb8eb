"""A primary and a streaming standby of its own, made by pg_basebackup; both are removed at the end of the file."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, make_url

from pipeline.database import connect_engine
from pipeline.database.roles import Role, grant, make_user
from pipeline.database.temporary import open_database
from pipeline.gateways.installed import list_grants
from pipeline.settings import Settings
from scripts.local_servers.owner import make_folder
from scripts.local_servers.postgres import Postgres
from tests.support.harness import Shelf, build_works
from tests.support.patience import WAIT_SECONDS

#: The standby's name at its primary.
NAME: Final = "beside"


class StandbyServer(Postgres):
    """A server that follows another one."""

    def follow(self, primary: Postgres) -> None:
        """Copy the primary's data, and leave what makes the copy a standby of it."""
        source = f"host={primary.folder} user=postgres application_name={NAME}"
        done = self._spawn(
            "pg_basebackup",
            *("-d", source, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "--no-sync"),
            output=subprocess.PIPE,
        )
        output, _ = done.communicate(timeout=WAIT_SECONDS)
        assert done.returncode == 0, output.decode(errors="replace")

    @contextmanager
    def read_changes(self, url: str) -> Iterator[None]:
        """Read the changes of all tables of a database, as change data capture does."""
        database = make_url(url)
        process = self._spawn(
            "pg_recvlogical",
            *("-d", f"host={database.query['host']} user=postgres dbname={database.database} application_name=capture"),
            *("--slot=capture", "--create-slot", "--start", "--plugin=pgoutput", "-f", "-"),
            *("-o", "proto_version=1", "-o", "publication_names=capture"),
            output=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two servers with one database of the engine."""

    primary: Postgres
    standby: StandbyServer
    url: str

    @property
    def standby_url(self) -> str:
        """The address of the same database on the standby."""
        return make_url(self.url).set(query={"host": str(self.standby.folder)}).render_as_string(hide_password=False)

    def run(self, statement: str, *, on_standby: bool = False) -> list[tuple[object, ...]]:
        """Run one statement outside of a transaction, as the superuser; return its rows."""
        engine = connect(self.standby_url if on_standby else self.url)
        try:
            with engine.connect() as connection:
                result = connection.exec_driver_sql(statement)
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()

    def set_read_only(self, *, is_read_only: bool) -> None:
        """Have new sessions on the database write nothing, or write again; from another database, which still may."""
        database = make_url(self.url).database
        change = "SET default_transaction_read_only = on" if is_read_only else "RESET default_transaction_read_only"
        engine = connect(self.primary.url)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {database} {change}")
        engine.dispose()

    def set(self, name: str, value: str, *, on_standby: bool = False) -> None:
        """Change a setting of one server, and return once it is valid."""
        self.run(f"ALTER SYSTEM SET {name} = $${value}$$", on_standby=on_standby)
        self.run("SELECT pg_reload_conf()", on_standby=on_standby)
        shown = f"SHOW {name}"
        self.wait(lambda: self.run(shown, on_standby=on_standby) == [(value,)], f"{name} is {value}")

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Have the standby receive changes and replay none."""
        self.catch_up()
        self.run("SELECT pg_wal_replay_pause()", on_standby=True)
        is_paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        self.wait(lambda: self.run(is_paused, on_standby=True) == [(True,)], "the standby pauses")
        try:
            yield
        finally:
            self.run("SELECT pg_wal_replay_resume()", on_standby=True)
            self.catch_up()

    def wait_for_changes(self) -> None:
        """Wait until a standby that replays nothing has received something."""
        waits = "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"
        self.wait(lambda: self.run(waits, on_standby=True) == [(True,)], "the standby has received it")

    def catch_up(self) -> None:
        """Wait until the standby has replayed all that the primary has written."""
        [(written,)] = self.run("SELECT pg_current_wal_lsn()")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
        self.wait(lambda: self.run(replayed, on_standby=True) == [(True,)], "the standby has caught up")
        # The primary has heard of it too.
        heard = f"SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= '{written}'"
        self.wait(lambda: self.run(heard) == [(1,)], "the standby is connected")

    @staticmethod
    def wait(is_so: Callable[[], object], what: str) -> None:
        """Look again and again until it is so."""
        ends_at = time.monotonic() + WAIT_SECONDS
        while not is_so():
            assert time.monotonic() < ends_at, f"{what}: not within {WAIT_SECONDS} s"
            time.sleep(0.02)


def connect(url: str) -> Engine:
    """Return an engine without the limits of the engine's own."""
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")


@contextmanager
def open_cluster() -> Iterator[Cluster]:
    """Start both servers; stop them, and remove their folders, at the end."""
    folders = [make_folder(), make_folder()]
    primary = Postgres(folders[0] / "data", folders[0])
    standby = StandbyServer(folders[1] / "data", folders[1])
    try:
        primary.start()
        spare_the_disk(primary.url)
        # Read at a start only: tests have readers of single tables too.
        primary.stop()
        primary.start()
        with open_database(primary.url, "checkout_cluster") as url:
            standby.follow(primary)
            standby.start()
            cluster = Cluster(primary, standby, url)
            # By default a standby that lost its primary looks for it every five seconds, and says every ten what it has
            # replayed.
            cluster.set("wal_retrieve_retry_interval", "50ms", on_standby=True)
            cluster.set("wal_receiver_status_interval", "1s", on_standby=True)
            cluster.catch_up()
            yield cluster
    finally:
        standby.stop()
        primary.stop()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def spare_the_disk(url: str) -> None:
    """Let a server not wait for the disk, and write nothing by itself that a standby would be behind by."""
    engine = connect(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")
        connection.exec_driver_sql("ALTER SYSTEM SET autovacuum = off")
        connection.exec_driver_sql("ALTER SYSTEM SET wal_level = logical")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    engine.dispose()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A primary and a standby for the tests of a file."""
    with open_cluster() as opened:
        yield opened


@pytest.fixture(scope="module")
def cluster_settings(cluster: Cluster, run_settings: Settings) -> Settings:
    """The settings of the tests, with the primary of the cluster to write and its standby to read."""
    urls = {"database_url": SecretStr(cluster.url), "read_url": SecretStr(cluster.standby_url)}
    return run_settings.model_copy(update=urls)


@pytest.fixture(scope="module")
def shop_on_cluster(cluster: Cluster, cluster_settings: Settings) -> Iterator[Engine]:
    """The primary, with one order and one checkout that awaits payment, on the standby too.

    The users `web` and `people` have the rights of a worker and of a reader.
    """
    engine = connect_engine(cluster_settings, application_name="test")
    shelf = Shelf(engine)
    shelf.add_variant("cup", stock=99, price_minor=250)
    with build_works(engine, cluster_settings) as works:
        works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
        works.start(shelf.add_cart(("cup", 1)))
        works.pump()
        works.sweep()
    with engine.begin() as connection:
        grant(connection, list_grants())
        make_user(connection, "web", Role.WORKER)
        make_user(connection, "people", Role.READER)
    cluster.catch_up()
    yield engine
    engine.dispose()
