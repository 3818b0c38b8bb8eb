"""Worker processes for a script, their database and Redis database, and the watch for signals."""

import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import pytest
from psycopg import sql
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine, create_engine, make_url, text

from pipeline.gateways.installed import read_options
from pipeline.settings import Settings
from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ended, Ending
from scripts.environments.fleet import FleetLog, run_fleet
from scripts.environments.scratch import name_database, open_scratch
from scripts.local_servers.valkey import Valkey
from tests.support.processes import START_SECONDS
from workers.broker.redis_client import SOCKET_SECONDS


def test_workers_that_do_not_start_are_reported_with_their_last_output(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    log = FleetLog(tmp_path / "log")
    lines = {"broken": "dramatiq nowhere:build_broker -p 1"}
    with (
        Ending() as ending,
        pytest.raises(CommandError, match=r"do not start(.|\n)*nowhere"),
        run_fleet(settings, log, ending, lines=lines),
    ):
        pytest.fail("It started.")
    log.close()
    assert "nowhere" in (tmp_path / "log").read_text()


def test_a_fleet_is_ready_when_every_worker_is_at_its_queue(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    # Given two units of one line
    log = FleetLog(tmp_path / "log")
    lines = {"sweep": "dramatiq workers.main:build_broker -p 1 -t 1 -Q checkout.sweep"}
    with Redis.from_url(settings.redis_url.get_secret_value()) as client, Ending() as ending:
        # When
        with run_fleet(settings, log, ending, lines=lines, scale={"sweep": 2}) as supervisor:
            # Then
            assert sorted(supervisor.pids()) == ["sweep.1", "sweep.2"]
            assert client.zcard("dramatiq:__heartbeats__") == 2
        assert supervisor.pids() == {}
        # When it gets a signal
        os.kill(os.getpid(), signal.SIGTERM)
        # Then it ends at the next step, with the signal's exit code
        with pytest.raises(Ended) as caught:
            ending.check()
        assert caught.value.code == 143
    log.close()


def test_a_redis_that_is_slow_while_workers_start_ends_no_start(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    # Given a Redis that says nothing for longer than a reading waits, once the workers are being started
    valkey = Valkey(tmp_path)
    valkey.start()
    try:
        assert valkey._process is not None
        freeze = (
            f"import os, time; os.kill({valkey._process.pid}, {signal.SIGSTOP:d}); time.sleep(2 * {SOCKET_SECONDS});"
            f" os.kill({valkey._process.pid}, {signal.SIGCONT:d}); time.sleep(300)"
        )
        lines = {
            "freeze": f"{sys.executable} -c '{freeze}'",
            "sweep": "dramatiq workers.main:build_broker -p 1 -t 1 -Q checkout.sweep",
        }
        own = settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
        # When
        with (
            closing(FleetLog(tmp_path / "log")) as log,
            Ending() as ending,
            run_fleet(own, log, ending, lines=lines, ready_seconds=START_SECONDS) as supervisor,
        ):
            # Then they are awaited all the same
            assert sorted(supervisor.pids()) == ["freeze.1", "sweep.1"]
            with Redis.from_url(valkey.url) as client:
                assert client.zcard("dramatiq:__heartbeats__") == 1
    finally:
        valkey.stop()


def count_databases(engine: Engine, name: str) -> int:
    with engine.connect() as connection:
        counted = connection.execute(text("SELECT count(*) FROM pg_database WHERE datname = :name"), {"name": name})
        return int(counted.scalar_one())


def test_a_scratch_has_the_schema_and_an_empty_redis_database_and_is_gone_afterwards(
    settings: Settings, engine: Engine
) -> None:
    elsewhere = settings.with_gateway_options(database_url=SecretStr("postgresql://far"))
    with open_scratch(elsewhere.model_copy(update={"gateway": "other"}), "try") as own:
        name = name_database(own)
        assert name.startswith("try_")
        assert (own.gateway, read_options(own)["database_url"], own.sweep_interval_seconds) == (
            "sandbox",
            own.database_url,
            0.2,
        )
        database = create_engine(
            make_url(own.database_url.get_secret_value()).set(drivername="postgresql+psycopg"), pool_size=1
        )
        with database.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM checkouts")).scalar_one() == 0
        # An open connection does not keep the database from being dropped.
        with Redis.from_url(own.redis_url.get_secret_value()) as client:
            client.set("dramatiq:checkout.intake", "some messages")
    database.dispose()
    assert count_databases(engine, name) == 0
    with Redis.from_url(own.redis_url.get_secret_value()) as client:
        assert client.dbsize() == 0


def test_two_scratches_at_once_share_nothing(settings: Settings, engine: Engine) -> None:
    with open_scratch(settings, "try") as first, open_scratch(settings, "try") as second:
        addresses = {each.redis_url.get_secret_value() for each in (settings, first, second)}
        names = {name_database(each) for each in (settings, first, second)}
        assert (len(addresses), len(names)) == (3, 3)


def test_a_redis_database_with_a_client_is_not_leased(settings: Settings, engine: Engine) -> None:
    with open_scratch(settings, "try") as first:
        address = first.redis_url
    with Redis.from_url(address.get_secret_value()) as client:
        client.ping()
        with open_scratch(settings, "try") as second:
            assert second.redis_url != address
        assert client.dbsize() == 0


def test_a_role_that_may_not_create_databases_is_reported(settings: Settings, engine: Engine) -> None:
    # Given
    role, password = f"try_{os.getpid()}", "a-password"
    with engine.begin() as connection:
        create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
        connection.exec_driver_sql(create.as_string())
    url = make_url(settings.database_url.get_secret_value()).set(username=role, password=password)
    poor = settings.model_copy(update={"database_url": SecretStr(url.render_as_string(hide_password=False))})
    # When
    try:
        with pytest.raises(CommandError) as caught, open_scratch(poor, "try"):
            pytest.fail("It was created.")
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP ROLE {role}")
    # Then
    assert str(caught.value) == (
        "The role of DATABASE_URL may not create a database: grant it CREATEDB, or unset DATABASE_URL."
    )
