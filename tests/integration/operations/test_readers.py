"""Reading for people on a real standby: the figures, their age, and the sentence when they cannot be read."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError

from pipeline.audit import take_report
from pipeline.database import connect_reader
from pipeline.database.readers import CONFLICT_REPEATS, Reader, Standby, read_standby
from pipeline.errors import Code, Unavailable
from pipeline.operations import read_page, read_stats
from pipeline.operations.checkout_search import Filter
from pipeline.settings import Settings, SettingsError
from tests.support.standby import Cluster

T = TypeVar("T")


@pytest.fixture
def reader(shop_on_cluster: Engine, cluster_settings: Settings) -> Iterator[Reader]:
    """What people read with: a user who reads only, and sees no secrets."""
    del shop_on_cluster
    assert cluster_settings.read_url is not None
    url = make_url(cluster_settings.read_url.get_secret_value()).set(username="people")
    own = SecretStr(url.render_as_string(hide_password=False))
    found = connect_reader(
        cluster_settings.model_copy(update={"read_url": own}), application_name="test.reader", pool_size=1
    )
    yield found
    found.close()


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


def test_without_the_setting_the_primary_is_read(shop_on_cluster: Engine, cluster_settings: Settings) -> None:
    for unset in (None, SecretStr("")):
        own = cluster_settings.model_copy(update={"read_url": unset})
        for given in (None, shop_on_cluster):
            reader = connect_reader(own, application_name="test.reader", primary=given)
            assert reader.read(lambda found: found.execute(text("SELECT pg_is_in_recovery()")).scalar_one()) == (
                False,
                None,
            )
            assert not reader.is_apart
            reader.close()
    # The connections of the primary are not closed by who only borrowed them, and may write again.
    with shop_on_cluster.begin() as connection:
        assert connection.execute(text("SHOW transaction_read_only")).scalar_one() == "off"


def test_a_primary_as_the_database_to_read_has_no_age(shop_on_cluster: Engine, cluster_settings: Settings) -> None:
    del shop_on_cluster
    own = cluster_settings.model_copy(update={"read_url": cluster_settings.database_url})
    reader = connect_reader(own, application_name="test.reader", pool_size=1)
    assert reader.read(lambda found: read_stats(found, own).states["completed"]) == (1, None)
    # Nothing is written there, although it takes writes.
    with pytest.raises(InternalError, match="cannot execute DELETE in a read-only transaction"):
        reader.read(lambda found: found.execute(text("DELETE FROM heartbeats")))
    kept = text("SELECT count(*) FROM heartbeats WHERE name = 'sweep'")
    assert reader.read(lambda found: found.execute(kept).scalar_one()) == (1, None)
    reader.close()


def test_of_several_hosts_the_standby_is_read(
    cluster: Cluster, shop_on_cluster: Engine, cluster_settings: Settings
) -> None:
    del shop_on_cluster
    both = make_url(cluster.url).set(
        query={"host": f"{cluster.primary.folder},{cluster.standby.folder}", "port": "5432,5432"}
    )
    own = cluster_settings.model_copy(update={"read_url": SecretStr(both.render_as_string(hide_password=False))})
    reader = connect_reader(own, application_name="test.reader", pool_size=1)
    assert read_current(cluster, reader, lambda found: read_stats(found, own).states["completed"]) == 1
    reader.close()


def test_a_standby_that_is_behind_says_by_how_much(cluster: Cluster, reader: Reader, shop_on_cluster: Engine) -> None:
    with shop_on_cluster.connect() as connection:
        assert read_standby(connection) is None
    with cluster.pause():
        cluster.run("UPDATE heartbeats SET at = at")
        cluster.wait_for_changes()
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
