"""The health of a cluster: a primary that takes no writes, a synchronous standby that is missing, one that is late."""

from typing import Final

import pytest
import typer
from sqlalchemy import Engine, make_url
from typer.testing import CliRunner

from pipeline.database import connect_engine
from pipeline.database.migrations import read_head
from pipeline.database.roles import list_statements
from pipeline.gateways.installed import list_grants
from pipeline.operations.diagnostics import Diagnosis, Severity, judge_replication
from pipeline.operations.health import Check, Health, check_database
from pipeline.operations.replication import (
    LATE_BYTES,
    LATE_SECONDS,
    UNSEEN,
    Replication,
    StandbyLag,
    read_replication,
)
from pipeline.settings import Settings
from scripts import diagnose
from tests.support.standby import NAME, Cluster

HEAD: Final = read_head()
FINE: Final = StandbyLag(NAME, "async", 0.0, 0)
MISSING: Final = (
    "1 synchronous standby is missing: commits wait until it is back, or until synchronous_standby_names needs fewer."
)
ON_STANDBY: Final = (
    "DATABASE_URL leads to a standby, which takes no writes: name the primary, or all hosts of the cluster."
)
READ_ONLY: Final = "PostgreSQL takes no writes: set default_transaction_read_only to off there."


@pytest.fixture(scope="module")
def primary(cluster: Cluster, shop_on_cluster: Engine) -> Engine:
    """The primary, with a user who has no right to statistics."""
    with shop_on_cluster.begin() as connection:
        connection.exec_driver_sql("CREATE USER stranger")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA public, partitions TO stranger")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public, partitions TO stranger")
    cluster.catch_up()
    return shop_on_cluster


def read(url: str, settings: Settings, user: str = "postgres") -> tuple[Replication, dict[str, Check]]:
    """Return the replication, and the checks about it that health reports, as this user sees them."""
    own = make_url(url).set(username=user).render_as_string(hide_password=False)
    engine = connect_engine(settings, application_name="test.health", pool_size=1, url=own)
    try:
        with engine.connect() as connection:
            checks, _ = check_database(connection, settings, HEAD)
            named = {name: checks[name] for name in ("database", "synchronous_standbys", "replication_lag")}
            return read_replication(connection), named
    finally:
        engine.dispose()


@pytest.mark.parametrize("user", ["postgres", "web"])
def test_a_standby_that_keeps_up_is_healthy(
    cluster: Cluster, primary: Engine, cluster_settings: Settings, user: str
) -> None:
    del primary
    well = (
        Replication(is_standby=False, is_read_only=False, synchronous=0, standbys=(FINE,)),
        {
            "database": Check(Health.HEALTHY, "PostgreSQL answers."),
            "synchronous_standbys": Check(Health.HEALTHY, "None is configured.", 0),
            "replication_lag": Check(Health.HEALTHY, "Behind by 0.0 s and 0 bytes.", 0),
        },
    )
    # The first reads of new rows write hints, which the standby replays.
    cluster.wait(lambda: read(cluster.url, cluster_settings, user) == well, "all is well")


def test_without_a_standby_there_is_nothing_to_report(engine: Engine, settings: Settings) -> None:
    with engine.connect() as connection:
        found = read_replication(connection)
        checks, _ = check_database(connection, settings, HEAD)
    assert found == Replication(is_standby=False, is_read_only=False, synchronous=0, standbys=())
    assert checks["replication_lag"] == Check(Health.HEALTHY, "No standby is connected.", 0)
    assert judge_replication(found) == [Diagnosis("standbys", Severity.OK, 0, "None is connected.")]


def test_who_may_not_see_the_standbys_is_told_so(cluster: Cluster, primary: Engine, cluster_settings: Settings) -> None:
    found, checks = read(cluster.url, cluster_settings, "stranger")
    assert (found.standbys, found.missing) == (None, 0)
    assert checks["replication_lag"] == Check(Health.HEALTHY, UNSEEN)
    assert judge_replication(found) == [Diagnosis("standbys", Severity.OK, 0, UNSEEN)]
    # When even the view is kept from them
    try:
        with primary.begin() as connection:
            connection.exec_driver_sql("REVOKE SELECT ON pg_stat_replication FROM PUBLIC")
        found, checks = read(cluster.url, cluster_settings, "stranger")
    finally:
        with primary.begin() as connection:
            connection.exec_driver_sql("GRANT SELECT ON pg_stat_replication TO PUBLIC")
    assert (found.standbys, checks["replication_lag"]) == (None, Check(Health.HEALTHY, UNSEEN))


def test_roles_are_applied_by_who_may_not_grant_the_statistics(primary: Engine) -> None:
    # Given an owner who may create roles, and has no right to grant
    statement = next(each for each in list_statements(list_grants()) if "pg_read_all_stats" in each)
    with primary.connect() as connection:
        connection.exec_driver_sql("CREATE USER landlord CREATEROLE")
        connection.exec_driver_sql("SET LOCAL ROLE landlord")
        # Then it is a warning, and the transaction goes on
        connection.exec_driver_sql(statement)
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
        connection.rollback()


def test_a_synchronous_standby_that_stops_degrades_and_heals(
    cluster: Cluster, primary: Engine, cluster_settings: Settings
) -> None:
    del primary
    cluster.set("synchronous_standby_names", NAME)
    is_synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
    healthy = Check(Health.HEALTHY, "None is missing.", 0)
    try:
        cluster.wait(lambda: cluster.run(is_synchronous) == [(1,)], "commits wait for the standby")
        found, checks = read(cluster.url, cluster_settings)
        assert (found.synchronous, found.missing, checks["synchronous_standbys"]) == (1, 0, healthy)
        # When it stops
        cluster.standby.stop()
        cluster.wait(lambda: cluster.run("SELECT FROM pg_stat_replication") == [], "the primary has lost it")
        found, checks = read(cluster.url, cluster_settings)
        # Then
        assert (found.missing, checks["synchronous_standbys"]) == (1, Check(Health.DEGRADED, MISSING, 1))
        assert checks["database"].status is Health.HEALTHY
        assert judge_replication(found)[0] == Diagnosis("synchronous_standbys", Severity.CRITICAL, 1, MISSING)
        # Also to who may not see the standbys: there is no row at all
        assert read(cluster.url, cluster_settings, "stranger")[0].missing == 1
        # When it is back
        cluster.standby.start()
        cluster.wait(lambda: cluster.run(is_synchronous) == [(1,)], "commits wait for the standby")
        assert read(cluster.url, cluster_settings)[1]["synchronous_standbys"] == healthy
        # To who may not see them it is not known
        found, checks = read(cluster.url, cluster_settings, "stranger")
        assert (found.missing, checks["synchronous_standbys"]) == (None, Check(Health.HEALTHY, UNSEEN))
    finally:
        if not cluster.standby.is_running():
            cluster.standby.start()
        cluster.set("synchronous_standby_names", "")
        cluster.catch_up()


@pytest.mark.parametrize(
    ("names", "synchronous"),
    [
        ("", 0),
        ("*", 1),
        ("a, b", 1),
        ('"FIRST 2", b', 1),
        ("FIRST 2 (a, b)", 2),
        ("any 3 (a, b, c)", 3),
        ("2 (a, b)", 2),
    ],
)
def test_how_many_standbys_a_commit_waits_for(
    cluster: Cluster, primary: Engine, cluster_settings: Settings, names: str, synchronous: int
) -> None:
    cluster.set("synchronous_standby_names", names)
    try:
        assert read(cluster.url, cluster_settings)[0].synchronous == synchronous
        # Where commits do not wait, no standby is missing.
        with primary.connect() as connection:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = local")
            assert read_replication(connection).missing == 0
    finally:
        cluster.set("synchronous_standby_names", "")


def test_a_standby_that_replays_nothing_is_behind(
    cluster: Cluster, primary: Engine, cluster_settings: Settings
) -> None:
    with cluster.pause():
        with primary.begin() as connection:
            connection.exec_driver_sql("UPDATE heartbeats SET at = at")
        [behind] = read(cluster.url, cluster_settings)[0].standbys or ()
    assert (behind.name, behind.sync_state, behind.is_late) == (NAME, "async", False)
    assert behind.lag_bytes > 0
    cluster.wait(lambda: read(cluster.url, cluster_settings)[0].standbys == (FINE,), "it has caught up")


def test_a_reader_of_changes_is_no_standby(cluster: Cluster, primary: Engine, cluster_settings: Settings) -> None:
    del primary
    cluster.run("CREATE PUBLICATION capture FOR ALL TABLES")
    is_read = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'capture' AND state = 'streaming'"
    with cluster.standby.read_changes(cluster.url):
        cluster.wait(lambda: cluster.run(is_read) == [(1,)], "changes are read")
        names = [each.name for each in read(cluster.url, cluster_settings)[0].standbys or ()]
    cluster.wait(lambda: cluster.run(is_read) == [(0,)], "changes are read no more")
    cluster.run("SELECT pg_drop_replication_slot('capture')")
    cluster.run("DROP PUBLICATION capture")
    assert names == [NAME]


@pytest.mark.parametrize(
    ("seconds", "most", "is_late"),
    [
        (0.0, 0, False),
        (LATE_SECONDS, LATE_BYTES, False),
        (LATE_SECONDS + 0.1, 0, True),
        (0.0, LATE_BYTES + 1, True),
        (None, 0, False),
        (None, LATE_BYTES + 1, True),
    ],
)
def test_the_bounds_of_a_late_standby(seconds: float | None, most: int, *, is_late: bool) -> None:
    each = StandbyLag("a", "async", seconds, most)
    assert each.is_late == is_late
    found = Replication(is_standby=False, is_read_only=False, synchronous=0, standbys=(FINE, each))
    severities = [(each.code, each.severity, each.count) for each in judge_replication(found)]
    late = [("replication_lag", Severity.WARNING, 1)] if is_late else []
    assert severities == [*late, ("standbys", Severity.OK, 0)]


def test_an_address_of_a_standby_is_unhealthy(cluster: Cluster, primary: Engine, cluster_settings: Settings) -> None:
    del primary
    found, checks = read(cluster.standby_url, cluster_settings)
    assert found == Replication(is_standby=True, is_read_only=True, synchronous=0, standbys=())
    assert checks["database"] == Check(Health.UNHEALTHY, ON_STANDBY)
    assert judge_replication(found)[0] == Diagnosis("database_read_only", Severity.CRITICAL, 1, ON_STANDBY)


def test_a_primary_that_is_read_only_is_unhealthy(
    cluster: Cluster, primary: Engine, cluster_settings: Settings
) -> None:
    del primary
    cluster.set_read_only(is_read_only=True)
    try:
        found, checks = read(cluster.url, cluster_settings)
    finally:
        cluster.set_read_only(is_read_only=False)
    assert (found.is_standby, found.is_read_only) == (False, True)
    assert checks["database"] == Check(Health.UNHEALTHY, READ_ONLY)
    assert read(cluster.url, cluster_settings)[1]["database"].status is Health.HEALTHY


PLAYING: Final = "Payments go to sandbox (play money: nothing is charged)."
DIAGNOSED: Final = {
    "primary": (0, [PLAYING, f"Standby {NAME} (async) is behind by "]),
    "standby": (1, [PLAYING, f"critical: {ON_STANDBY}"]),
    "standbys": (2, [ON_STANDBY]),
}


@pytest.mark.parametrize("where", list(DIAGNOSED))
def test_diagnose_names_each_standby_and_what_takes_no_writes(
    cluster: Cluster,
    primary: Engine,
    cluster_settings: Settings,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    del primary
    hosts = f"{cluster.standby.folder},{cluster.standby.folder}"
    several = make_url(cluster.url).set(query={"host": hosts, "port": "5432,5432"})
    urls = {
        "primary": cluster.url,
        "standby": cluster.standby_url,
        "standbys": several.render_as_string(hide_password=False),
    }
    cluster.run("UPDATE heartbeats SET at = now()")
    cluster.catch_up()
    monkeypatch.setenv("DATABASE_URL", urls[where])
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("CHECKOUT_GATEWAY", "sandbox")
    app = typer.Typer()
    app.command()(diagnose.main)
    done = CliRunner().invoke(app)
    code, lines = DIAGNOSED[where]
    shown = done.output.splitlines()
    assert done.exit_code == code
    assert [line for line, start in zip(shown, lines, strict=False) if not line.startswith(start)] == []
    assert len(shown) >= len(lines)
