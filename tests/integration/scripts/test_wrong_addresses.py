"""Addresses that lead to the wrong servers: every kind of command says so in one sentence, and changes nothing."""

import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from pipeline.database import connect_engine
from pipeline.database.migrations import migrate
from pipeline.operations.replication import STANDBY_ONLY
from pipeline.settings import Settings
from scripts.environments.scratch import NO_MASTER
from scripts.local_servers.embedded import ROOT
from scripts.local_servers.owner import make_folder
from scripts.local_servers.postgres import Postgres
from tests.support import commands
from tests.support.patience import WAIT_SECONDS
from tests.support.sentinels import SERVICE, open_replicated
from tests.support.standby import Cluster, StandbyServer, connect

ID: Final = "0190f3c1-6b70-7d2a-8c15-0f3b2a9d4e22"
INVOICES: Final = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    "536365,85123A,CUP,6,12/1/2010 8:26,2.55,17850,United Kingdom\n"
)
#: One command of each kind, by the door that it opens the servers with, and its exit code for servers that it cannot
#: use. Two have codes of their own, which their pages promise.
READING: Final = {
    "checkouts list": ("read_for_people", 2),
    "monitor": ("connect_reader", 2),
    "audit": ("connect_reader", 2),
}
WRITING: Final = {
    "keys create --owner shop-1": ("open_transaction", 2),
    f"checkouts release {ID} --reason settled": ("open_engine", 2),
    "catalog stock kettle +5": ("open_catalog", 1),
    "cells move shop-1 --to postgresql://u@127.0.0.1:1/none --cell us1": ("open_move", 2),
    "demo": ("open_scratch", 2),
    "replay INVOICES": ("open_scratch", 1),
}
READ_ONLY: Final = (
    "DATABASE_URL leads to a standby, or default_transaction_read_only is on there: nothing can be written."
)


@dataclass(frozen=True, slots=True)
class Servers:
    """A primary with its standby, a server of another cluster, and one that was a standby and takes writes."""

    cluster: Cluster
    other: Postgres
    promoted: Postgres

    def name(self, *servers: Postgres) -> str:
        """Return the URL with these hosts."""
        own = make_url(self.cluster.url)
        hosts = {"host": ",".join(str(each.folder) for each in servers)}
        return own.set(query=hosts).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def servers(cluster: Cluster) -> Iterator[Servers]:
    """All of them, with one database of the engine in each."""
    with ExitStack() as stack:
        folders = [make_folder(), make_folder()]
        for folder in folders:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        other = Postgres(folders[0] / "data", folders[0])
        stack.callback(other.stop)
        other.start()
        admin = connect(other.url)
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {make_url(cluster.url).database}")
        admin.dispose()
        promoted = StandbyServer(folders[1] / "data", folders[1])
        promoted.follow(cluster.primary)
        (promoted.data / "standby.signal").unlink()
        stack.callback(promoted.stop)
        promoted.start()
        found = Servers(cluster, other, promoted)
        own = connect(found.name(other)).execution_options(isolation_level="READ COMMITTED")
        with own.begin() as connection:
            migrate(connection)
        own.dispose()
        yield found


@pytest.fixture
def invoices(tmp_path: Path) -> Path:
    """A file for `replay`."""
    file = tmp_path / "invoices.csv"
    file.write_text(INVOICES)
    return file


def run(line: str, urls: Mapping[str, str], invoices: Path) -> tuple[int, str, str]:
    """Run a command line in a process of its own; return its exit code and its outputs."""
    words = line.replace("INVOICES", str(invoices)).split()
    env = {**os.environ, **urls, "CHECKOUT_GATEWAY": "sandbox"}
    done = commands.run([sys.executable, str(ROOT / "scripts/cli.py"), *words], cwd=ROOT, env=env, timeout=WAIT_SECONDS)
    return done.returncode, done.stdout, done.stderr


def count_rows(cluster: Cluster) -> list[tuple[object, ...]]:
    """Return what a command might have left: rows, and databases of its own."""
    return cluster.run(
        "SELECT (SELECT count(*) FROM api_keys), (SELECT count(*) FROM events), (SELECT count(*) FROM pg_database)"
    )


def list_wrong_databases(servers: Servers) -> dict[str, tuple[str, str]]:
    """Return the wrong DATABASE_URLs by name, each with the sentence for it."""
    primary, standby = servers.cluster.primary, servers.cluster.standby
    both = f"{primary.folder} and {{}} of DATABASE_URL"
    return {
        "standbys only": (servers.name(standby, standby), STANDBY_ONLY),
        "two clusters": (
            servers.name(standby, primary, servers.other),
            f"{both.format(servers.other.folder)} are of two clusters: name the hosts of one.",
        ),
        "two primaries": (
            servers.name(primary, servers.promoted, standby),
            f"{both.format(servers.promoted.folder)} both take writes: stop the one that is not the primary.",
        ),
    }


@pytest.mark.parametrize("case", ["standbys only", "two clusters", "two primaries"])
def test_hosts_that_are_no_cluster(case: str, servers: Servers, redis_url: str, invoices: Path) -> None:
    url, sentence = list_wrong_databases(servers)[case]
    before = count_rows(servers.cluster)
    for line, (_, code) in (READING | WRITING).items():
        found, shown, said = run(line, {"DATABASE_URL": url, "REDIS_URL": redis_url}, invoices)
        # Some say first what they begin with
        assert (line, found, said.splitlines()[-1]) == (line, code, sentence)
        assert "Traceback" not in shown + said
    assert count_rows(servers.cluster) == before


@pytest.mark.parametrize("case", ["standby alone", "no leader"])
def test_a_server_that_takes_no_writes_can_be_read(case: str, servers: Servers, redis_url: str, invoices: Path) -> None:
    # Given a standby alone, or a cluster without a leader: its only host lets nothing be written
    cluster = servers.cluster
    url = servers.name(cluster.standby if case == "standby alone" else cluster.primary)
    before = count_rows(cluster)
    cluster.set_read_only(is_read_only=case == "no leader")
    try:
        urls = {"DATABASE_URL": url, "REDIS_URL": redis_url}
        # Then what reads does
        assert {line: run(line, urls, invoices)[0] for line in READING} == dict.fromkeys(READING, 0)
        # ... and what writes says why it does not
        for line in ("keys create --owner shop-1", f"checkouts release {ID} --reason settled"):
            assert run(line, urls, invoices) == (2, "", f"{READ_ONLY}\n")
    finally:
        cluster.set_read_only(is_read_only=False)
    assert count_rows(cluster) == before


def test_sentinels_that_name_no_master(servers: Servers, tmp_path: Path, invoices: Path) -> None:
    with open_replicated(tmp_path) as replicated, socket.create_server(("127.0.0.1", 0)) as silent:
        unknown = f"redis+sentinel://127.0.0.1:{replicated.sentinel}/another/0"
        dead = f"redis+sentinel://127.0.0.1:{silent.getsockname()[1]},127.0.0.1:1/{SERVICE}/0"
        for url in (unknown, dead):
            urls = {"DATABASE_URL": servers.cluster.url, "REDIS_URL": url}
            before = count_rows(servers.cluster)
            # What needs messages ends
            for line in ("demo", "replay INVOICES"):
                code, shown, said = run(line, urls, invoices)
                assert (line, code, said.splitlines()[-1]) == (line, WRITING[line][1], NO_MASTER)
                assert "Traceback" not in shown + said
            assert count_rows(servers.cluster) == before
            # ... and what reads says that the queues are not known, or does without them
            assert "queues unknown: Redis did not answer" in run("monitor", urls, invoices)[1].splitlines()
            assert run("checkouts list", urls, invoices)[0] == 0
            assert "Redis did not answer" in run("audit", urls, invoices)[1]


def test_a_process_does_not_change_to_another_cluster(servers: Servers, settings: Settings) -> None:
    # Given a process that began while a host of another cluster was off
    primary, other = servers.cluster.primary, servers.other
    engine = connect_engine(settings, application_name="test", url=servers.name(other, primary))
    other.stop()
    try:
        with engine.connect() as connection:
            assert connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one() is False
    finally:
        other.start()
    engine.dispose()
    # When its own cluster takes no writes any more
    servers.cluster.set_read_only(is_read_only=True)
    try:
        with pytest.raises(OperationalError, match=f"{other.folder} of DATABASE_URL is of another cluster than before"):
            engine.connect()
    finally:
        servers.cluster.set_read_only(is_read_only=False)
    # Then it goes on with its own
    with engine.connect() as connection:
        assert connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one() is False
    engine.dispose()


def test_a_process_says_why_it_does_nothing_and_ends_when_it_is_stopped(servers: Servers, redis_url: str) -> None:
    url, sentence = list_wrong_databases(servers)["two primaries"]
    env = {**os.environ, "DATABASE_URL": url, "REDIS_URL": redis_url, "CHECKOUT_GATEWAY": "sandbox"}
    lines: list[str] = []
    with commands.start([sys.executable, "-m", "workers.scheduler"], cwd=ROOT, env=env, merged=True) as scheduler:
        assert scheduler.stdout is not None
        for line in scheduler.stdout:
            lines.append(line)
            if "sweep.deferred" in line:
                break
        assert f'"error": "{sentence}"' in lines[-1]
        scheduler.send_signal(signal.SIGTERM)
        lines += scheduler.stdout
        assert scheduler.wait(WAIT_SECONDS) == 0
    assert "Traceback" not in "".join(lines)
