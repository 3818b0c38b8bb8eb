"""The commands that people read with, on a real standby: what they say of it, and when it cannot be read."""

import json
import re
from typing import Any, Final

import pytest
import typer
from sqlalchemy import Engine, make_url
from typer.testing import CliRunner, Result

from pipeline.settings import Settings
from scripts import audit, checkouts, monitor
from scripts.demo import set_times
from scripts.environments.scratch import open_scratch
from scripts.environments.supervisor import build_env
from scripts.local_servers.embedded import build_settings
from tests.support.standby import Cluster

AGE: Final = r"Read from a standby, as of [0-9]+\.[0-9] s ago\."


@pytest.fixture
def environment(cluster_settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What a command is told."""
    assert cluster_settings.read_url is not None
    monkeypatch.setenv("DATABASE_URL", cluster_settings.database_url.get_secret_value())
    monkeypatch.setenv("CHECKOUT_READ_URL", cluster_settings.read_url.get_secret_value())
    monkeypatch.setenv("CHECKOUT_GATEWAY", "sandbox")
    monkeypatch.setenv("REDIS_URL", redis_url)
    return monkeypatch


def run(main: Any, *arguments: str) -> Result:
    """Run a command in this process."""
    app = main
    if not isinstance(main, typer.Typer):
        app = typer.Typer()
        app.command()(main)
    return CliRunner().invoke(app, arguments)


def strip_lags(text: str) -> str:
    """Return an output without its seconds and bytes of lag: the primary writes hints by itself."""
    return re.sub(r"(lag|bytes)=[0-9.]+s?", r"\1", text)


@pytest.mark.usefixtures("shop_on_cluster", "environment")
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
    cluster: Cluster, shop_on_cluster: Engine, environment: pytest.MonkeyPatch
) -> None:
    done = run(audit.app, "--gateway", "--repair", "--json")
    assert (done.exit_code, json.loads(done.stdout.splitlines()[-1])["standby"]) == (0, None)


#: A part of an address that no sentence shows.
UNSEEN: Final = "hidden-word"

WRONG: Final = {
    "away": (
        f"postgresql://nobody:{UNSEEN}@127.0.0.1:1/none",
        'The database of CHECKOUT_READ_URL cannot be read (connection failed: connection to server at "127.0.0.1",'
        " port 1 failed: Connection refused): repair it, or unset CHECKOUT_READ_URL.",
    ),
    "no tables": (
        "template1",
        "The database of CHECKOUT_READ_URL cannot be read (it has no tables of this engine, or old ones): repair it,"
        " or unset CHECKOUT_READ_URL.",
    ),
    "no url": (
        f"http://{UNSEEN}@nowhere",
        "CHECKOUT_READ_URL is not a database address: use one such as postgresql://user@host/name, or"
        " postgresql://user@host:5432,host:5432/name.",
    ),
}


@pytest.mark.parametrize("fault", list(WRONG))
@pytest.mark.parametrize("command", ["monitor", "list", "audit"])
def test_a_wrong_address_is_reported_and_the_primary_is_not_read(
    cluster: Cluster, shop_on_cluster: Engine, environment: pytest.MonkeyPatch, fault: str, command: str
) -> None:
    url, sentence = WRONG[fault]
    if fault == "no tables":
        url = make_url(cluster.standby_url).set(database=url).render_as_string(hide_password=False)
    environment.setenv("CHECKOUT_READ_URL", url)
    done = run({"monitor": monitor.app, "list": checkouts.main, "audit": audit.app}[command])
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"{sentence}\n")


def test_the_monitor_shows_the_standby_while_the_primary_is_away(
    shop_on_cluster: Engine, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    lines = run(monitor.app).stdout.splitlines()
    assert {"primary unknown: it did not answer", "state completed 1"} <= set(lines)
    assert [line for line in lines if line.startswith("read_from standby lag=")]


def test_a_database_of_a_commands_own_has_no_standby(
    environment: pytest.MonkeyPatch, settings: Settings, cluster_settings: Settings
) -> None:
    # Given the address of a standby, and a command that makes a database of its own, as the demo does
    given = settings.model_copy(update={"read_url": cluster_settings.read_url})
    with open_scratch(given, "reading") as own:
        for each in (own, set_times(own)):
            # Then its processes read that database, whatever a `.env` file says
            assert build_env(each)["CHECKOUT_READ_URL"] == ""
    # When servers are started because no database is given
    environment.delenv("DATABASE_URL")
    assert not build_settings("postgresql://postgres@/postgres", "redis://127.0.0.1:1/0").read_url
