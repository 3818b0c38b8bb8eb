"""Reading for people on a real standby: the figures, their age, and the sentence when they cannot be read."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import pytest
import typer
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError
from typer.testing import CliRunner, Result

from pipeline.audit import take_report
from pipeline.database import connect_engine, connect_reader
from pipeline.database.readers import CONFLICT_REPEATS, Reader, Standby, read_standby
from pipeline.database.roles import Role, grant, make_user
from pipeline.errors import Code, Unavailable
from pipeline.gateways.installed import list_grants
from pipeline.operations import read_page, read_stats
from pipeline.operations.checkout_search import Filter
from pipeline.settings import Settings, SettingsError
from scripts import audit, checkouts, monitor
from tests.support.harness import Shelf, build_works
from tests.support.standby import Cluster

T = TypeVar("T")

AGE: Final = r"Read from a standby, as of [0-9]+\.[0-9] s ago\."


@pytest.fixture(scope="module")
def primary(cluster: Cluster, cluster_settings: Settings) -> Iterator[Engine]:
    """A shop with one order and one checkout that awaits payment, on the primary and on the standby."""
    engine = connect_engine(cluster_settings, application_name="test")
    shelf = Shelf(engine)
    shelf.add_variant("cup", stock=9, price_minor=250)
    with build_works(engine, cluster_settings) as works:
        works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
        works.start(shelf.add_cart(("cup", 1)))
        works.pump()
        works.sweep()
    with engine.begin() as connection:
        grant(connection, list_grants())
        make_user(connection, "people", Role.READER)
    cluster.catch_up()
    yield engine
    engine.dispose()


@pytest.fixture
def reader(primary: Engine, cluster_settings: Settings) -> Iterator[Reader]:
    """What people read with: a user who reads only, and sees no secrets."""
    del primary
    assert cluster_settings.read_url is not None
    url = make_url(cluster_settings.read_url.get_secret_value()).set(username="people")
    own = SecretStr(url.render_as_string(hide_password=False))
    found = connect_reader(
        cluster_settings.model_copy(update={"read_url": own}), application_name="test.reader", pool_size=1
    )
    yield found
    found.close()


@pytest.fixture
def environment(cluster_settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What a command is told."""
    assert cluster_settings.read_url is not None
    monkeypatch.setenv("DATABASE_URL", cluster_settings.database_url.get_secret_value())
    monkeypatch.setenv("CHECKOUT_READ_URL", cluster_settings.read_url.get_secret_value())
    monkeypatch.setenv("CHECKOUT_GATEWAY", "sandbox")
    monkeypatch.setenv("REDIS_URL", redis_url)
    return monkeypatch


@pytest.fixture
def paused(cluster: Cluster, primary: Engine) -> Iterator[None]:
    """The standby receives changes, and replays none: there is one that it has not replayed."""
    del primary
    cluster.catch_up()
    cluster.run("SELECT pg_wal_replay_pause()", on_standby=True)
    is_paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
    cluster.wait(lambda: cluster.run(is_paused, on_standby=True) == [(True,)], "the standby pauses")
    cluster.run("INSERT INTO heartbeats (name, at) VALUES ('other', now()) ON CONFLICT (name) DO UPDATE SET at = now()")
    waits = "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"
    cluster.wait(lambda: cluster.run(waits, on_standby=True) == [(True,)], "the standby has received it")
    yield
    cluster.run("SELECT pg_wal_replay_resume()", on_standby=True)
    cluster.catch_up()


def run(main: Any, *arguments: str) -> Result:
    """Run a command in this process."""
    app = main
    if not isinstance(main, typer.Typer):
        app = typer.Typer()
        app.command()(main)
    return CliRunner().invoke(app, arguments)


def read_current(cluster: Cluster, reader: Reader, work: Callable[[Connection], T]) -> T:
    """Read until the standby has replayed all that it has received: the primary writes hints by itself."""
    found: list[tuple[T, Standby | None]] = []

    def is_current() -> bool:
        found.append(reader.read(work))
        return found[-1][1] == Standby(0.0)

    cluster.wait(is_current, "the standby is current")
    return found[-1][0]


def test_all_that_people_read_is_read_on_a_standby(
    cluster: Cluster, reader: Reader, cluster_settings: Settings
) -> None:
    stats = read_current(cluster, reader, lambda found: read_stats(found, cluster_settings))
    assert {name: count for name, count in stats.states.items() if count} == {"completed": 1, "awaiting_payment": 1}
    assert (stats.success_rate, stats.held_units) == (1.0, 1)
    page = read_current(cluster, reader, lambda found: read_page(found, Filter(owner="shop-1")))
    assert [each.state for each in page.entries] == ["awaiting_payment", "completed"]
    report = read_current(cluster, reader, lambda found: take_report(found, cluster_settings))
    assert (report.violations, report.skipped) == ((), ())
    assert len(report.checked) > 30


def test_without_the_setting_the_primary_is_read(primary: Engine, cluster_settings: Settings) -> None:
    for unset in (None, SecretStr("")):
        own = cluster_settings.model_copy(update={"read_url": unset})
        for given in (None, primary):
            reader = connect_reader(own, application_name="test.reader", primary=given)
            assert reader.read(lambda found: found.execute(text("SELECT pg_is_in_recovery()")).scalar_one()) == (
                False,
                None,
            )
            assert not reader.is_apart
            reader.close()
    # The connections of the primary are not closed by who only borrowed them, and may write again.
    with primary.begin() as connection:
        assert connection.execute(text("SHOW transaction_read_only")).scalar_one() == "off"


def test_a_primary_as_the_database_to_read_has_no_age(primary: Engine, cluster_settings: Settings) -> None:
    del primary
    own = cluster_settings.model_copy(update={"read_url": cluster_settings.database_url})
    reader = connect_reader(own, application_name="test.reader", pool_size=1)
    assert reader.read(lambda found: read_stats(found, own).states["completed"]) == (1, None)
    # Nothing is written there, although it takes writes.
    with pytest.raises(InternalError, match="cannot execute DELETE in a read-only transaction"):
        reader.read(lambda found: found.execute(text("DELETE FROM heartbeats")))
    kept = text("SELECT count(*) FROM heartbeats WHERE name = 'sweep'")
    assert reader.read(lambda found: found.execute(kept).scalar_one()) == (1, None)
    reader.close()


def test_of_several_hosts_the_standby_is_read(cluster: Cluster, primary: Engine, cluster_settings: Settings) -> None:
    del primary
    both = make_url(cluster.url).set(
        query={"host": f"{cluster.primary.folder},{cluster.standby.folder}", "port": "5432,5432"}
    )
    own = cluster_settings.model_copy(update={"read_url": SecretStr(both.render_as_string(hide_password=False))})
    reader = connect_reader(own, application_name="test.reader", pool_size=1)
    assert read_current(cluster, reader, lambda found: read_stats(found, own).states["completed"]) == 1
    reader.close()


@pytest.mark.usefixtures("paused")
def test_a_standby_that_is_behind_says_by_how_much(reader: Reader, primary: Engine) -> None:
    with primary.connect() as connection:
        assert read_standby(connection) is None
    lags = [reader.read(lambda _: None)[1] for _ in range(2)]
    assert all(lag is not None and lag.lag_seconds is not None for lag in lags)
    first, second = (lag.lag_seconds for lag in lags if lag is not None and lag.lag_seconds is not None)
    assert 0 < first < second


def test_the_sentences() -> None:
    assert Standby(0.44).sentence == "Read from a standby, as of 0.4 s ago."
    assert Standby(None).sentence == (
        "Read from a standby that has replayed nothing since its start: its age is not known."
    )


def test_a_standby_without_a_primary_is_as_old_as_its_last_change(cluster: Cluster, reader: Reader) -> None:
    # Given a standby that has replayed all that it was sent, and is sent nothing any more
    [(source,)] = cluster.run("SHOW primary_conninfo", on_standby=True)
    cluster.set("primary_conninfo", "", on_standby=True)
    gone = "SELECT count(*) FROM pg_stat_wal_receiver"
    cluster.wait(lambda: cluster.run(gone, on_standby=True) == [(0,)], "the standby is cut off")
    try:
        _, standby = reader.read(lambda _: None)
    finally:
        cluster.set("primary_conninfo", str(source), on_standby=True)
        cluster.catch_up()
    # Then it does not claim to be up to date
    assert standby is not None
    assert standby.lag_seconds is not None
    assert standby.lag_seconds > 0
    read_current(cluster, reader, lambda _: None)


def conflict(cluster: Cluster) -> None:
    """Clean a row away on the primary that an older snapshot on the standby may still read."""
    cluster.run("INSERT INTO heartbeats (name, at) VALUES ('victim', now())")
    cluster.run("DELETE FROM heartbeats WHERE name = 'victim'")
    cluster.run("VACUUM heartbeats")


@pytest.mark.parametrize("is_repeatable", [True, False])
def test_a_query_that_the_standby_cancels_is_repeated(cluster: Cluster, reader: Reader, *, is_repeatable: bool) -> None:
    # Given a standby that cancels at once
    cluster.set("max_standby_streaming_delay", "0", on_standby=True)
    calls: list[int] = []
    others: list[threading.Thread] = []

    def read(connection: Connection) -> int:
        calls.append(len(calls))
        if len(calls) > 1 and is_repeatable:
            return 42
        connection.execution_options(isolation_level="REPEATABLE READ")
        connection.execute(text("SELECT count(*) FROM heartbeats"))
        others.append(threading.Thread(target=conflict, args=(cluster,)))
        others[-1].start()
        connection.execute(text("SELECT pg_sleep(60)"))
        raise AssertionError("it is not cancelled")

    # When
    try:
        if is_repeatable:
            assert reader.read(read)[0] == 42
        else:
            with pytest.raises(Unavailable) as refusal:
                reader.read(read)
            assert str(refusal.value) == (
                "The database of CHECKOUT_READ_URL cannot be read (it cancelled the query to replay changes of the"
                " primary: repeat it, or set hot_standby_feedback there): repair it, or unset CHECKOUT_READ_URL."
            )
    finally:
        cluster.run("ALTER SYSTEM RESET max_standby_streaming_delay", on_standby=True)
        cluster.run("SELECT pg_reload_conf()", on_standby=True)
        for each in others:
            each.join()
        cluster.catch_up()
    # Then
    assert len(calls) == (2 if is_repeatable else CONFLICT_REPEATS + 1)


def strip_lags(text: str) -> str:
    """Return an output without its seconds and bytes of lag: the primary writes hints by itself."""
    return re.sub(r"(lag|bytes)=[0-9.]+s?", r"\1", text)


@pytest.mark.usefixtures("primary", "environment")
def test_the_commands_say_that_they_read_a_standby(cluster: Cluster) -> None:
    cluster.catch_up()
    shown = run(monitor.app)
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = set(strip_lags(shown.stdout).splitlines())
    assert {"read_from standby lag", "standby beside sync=async lag bytes", "state completed 1"} <= lines
    facts = json.loads(run(monitor.app, "--json").stdout)
    assert (facts["standby"]["lag_seconds"] >= 0, facts["states"]["completed"]) == (True, 1)
    [beside] = facts["replication"].pop("standbys")
    assert facts["replication"] == {"is_standby": False, "is_read_only": False, "synchronous": 0, "missing": 0}
    assert sorted(beside) == ["lag_bytes", "lag_seconds", "name", "sync_state"]
    assert (beside["name"], beside["sync_state"]) == ("beside", "async")
    listed = run(checkouts.main)
    assert (listed.exit_code, len(listed.stdout.splitlines())) == (0, 2)
    assert re.fullmatch(AGE, listed.stderr.strip())
    assert json.loads(run(checkouts.main, "--json").stdout)["standby"]["lag_seconds"] >= 0
    checked = run(audit.app)
    assert (checked.exit_code, "all hold." in checked.stdout) == (0, True)
    assert [line for line in checked.stdout.splitlines() if re.fullmatch(AGE, line)]
    assert json.loads(run(audit.app, "--json").stdout)["standby"]["lag_seconds"] >= 0


def test_a_repair_is_audited_where_it_was_made(
    cluster: Cluster, primary: Engine, environment: pytest.MonkeyPatch
) -> None:
    del environment, primary, cluster
    done = run(audit.app, "--gateway", "--repair", "--json")
    assert (done.exit_code, json.loads(done.stdout.splitlines()[-1])["standby"]) == (0, None)


WRONG: Final = {
    "away": (
        "postgresql://nobody:secret-word@127.0.0.1:1/none",
        'The database of CHECKOUT_READ_URL cannot be read (connection failed: connection to server at "127.0.0.1",'
        " port 1 failed: Connection refused): repair it, or unset CHECKOUT_READ_URL.",
    ),
    "no tables": (
        "template1",
        "The database of CHECKOUT_READ_URL cannot be read (it has no tables of this engine, or old ones): repair it,"
        " or unset CHECKOUT_READ_URL.",
    ),
    "no url": (
        "http://secret-word@nowhere",
        "CHECKOUT_READ_URL is not a database address: use one such as postgresql://user@host/name, or"
        " postgresql://user@host:5432,host:5432/name.",
    ),
}


@pytest.mark.parametrize("fault", list(WRONG))
@pytest.mark.parametrize("command", ["monitor", "list", "audit"])
def test_a_wrong_address_is_reported_and_the_primary_is_not_read(
    cluster: Cluster, primary: Engine, environment: pytest.MonkeyPatch, fault: str, command: str
) -> None:
    del primary
    url, sentence = WRONG[fault]
    if fault == "no tables":
        url = make_url(cluster.standby_url).set(database=url).render_as_string(hide_password=False)
    environment.setenv("CHECKOUT_READ_URL", url)
    done = run({"monitor": monitor.app, "list": checkouts.main, "audit": audit.app}[command])
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"{sentence}\n")


def test_the_monitor_shows_the_standby_while_the_primary_is_away(
    primary: Engine, environment: pytest.MonkeyPatch
) -> None:
    del primary
    environment.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    lines = run(monitor.app).stdout.splitlines()
    assert {"primary unknown: it did not answer", "state completed 1"} <= set(lines)
    assert [line for line in lines if line.startswith("read_from standby lag=")]


def test_a_fault_of_the_work_is_not_put_on_the_database(reader: Reader) -> None:
    with pytest.raises(DBAPIError, match="division by zero"):
        reader.read(lambda found: found.execute(text("SELECT 1 / 0")))
    with pytest.raises(Unavailable) as refusal:
        reader.read(lambda found: found.execute(text("SELECT secret_hash FROM api_keys")))
    assert (refusal.value.code, refusal.value.detail["reason"]) == (
        Code.READING_UNAVAILABLE,
        "its user may not read the tables",
    )


def test_a_wrong_setting_is_found_before_anything_connects(cluster_settings: Settings) -> None:
    own = cluster_settings.model_copy(update={"read_url": SecretStr("host=nowhere")})
    with pytest.raises(SettingsError, match="CHECKOUT_READ_URL is not a database address"):
        connect_reader(own, application_name="test.reader")


def test_on_the_primary_errors_are_what_they_were(cluster_settings: Settings) -> None:
    url = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    own = cluster_settings.model_copy(update={"read_url": None, "database_url": url})
    reader = connect_reader(own, application_name="test.reader")
    with pytest.raises(OperationalError):
        reader.read(lambda found: read_stats(found, own))
    reader.close()
