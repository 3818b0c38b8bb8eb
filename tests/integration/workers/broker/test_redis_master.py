"""Which Redis master is used, where Sentinels name it: in the monitor, in `diagnose` and in the metrics."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from redis import Redis
from sqlalchemy import Engine
from typer.testing import CliRunner

from pipeline.operations import read_stats
from pipeline.settings import Settings
from scripts.cli import app
from tests.integration.workers.broker.workshop import wait_until
from tests.support.sentinels import Replicated, open_replicated
from workers.broker.redis_client import connect_redis, find_master
from workers.overview import Readout
from workers.web.routes.metrics import Figures


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Replicated]:
    """A master, its replica and a Sentinel."""
    with open_replicated(tmp_path) as opened:
        yield opened


def test_the_master_is_named_and_so_is_its_successor(
    servers: Replicated,
    engine: Engine,
    settings: Settings,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del environment
    monkeypatch.setenv("REDIS_URL", servers.url)
    monkeypatch.setenv("CHECKOUT_GATEWAY", "sandbox")
    with connect_redis(servers.url) as client:
        assert find_master(client) is None
        client.ping()
        first = f"127.0.0.1:{servers.master}"
        assert find_master(client) == first
    assert f"redis_master {first}" in CliRunner().invoke(app, ["monitor"]).stdout.splitlines()
    said = CliRunner().invoke(app, ["diagnose"]).stdout.splitlines()
    assert said[1] == f"The Redis master is {first}, as the Sentinels say."
    # When it is killed
    servers.kill_master()
    wait_until(servers.has_failed_over)
    second = f"127.0.0.1:{servers.replica}"
    assert f"redis_master {second}" in CliRunner().invoke(app, ["monitor"]).stdout.splitlines()
    # Then the metrics name one, as a label
    with engine.connect() as connection:
        readout = Readout(read_stats(connection, settings), None, "sandbox", redis_master=second)
    lines = generate_latest(Figures(readout, None)).decode().splitlines()
    assert f'checkout_broker_master_info{{address="{second}"}} 1.0' in lines


def test_without_sentinels_none_is_named(redis_url: str) -> None:
    with connect_redis(redis_url) as client:
        client.ping()
        assert find_master(client) is None
    with Redis(host="::1", port=1) as client:
        assert find_master(client) is None
