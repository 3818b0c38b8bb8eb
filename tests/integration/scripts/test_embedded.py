"""The embedded servers: they answer, their addresses are found, and they leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.exceptions import RedisError

from scripts.local_servers.embedded import (
    ROOT,
    EmbeddedError,
    Servers,
    build_settings,
    find_urls,
    open_settings,
    read_state,
    serve,
    start,
)

GIVEN = ("postgresql://given/checkout", "redis://given/3")


@pytest.fixture(scope="module")
def data(local_folder: Path) -> Path:
    return local_folder / "postgres"


@pytest.fixture(scope="module")
def servers(data: Path) -> Iterator[Servers]:
    with start(data, state=data.parent / "servers.json") as servers:
        yield servers


@pytest.fixture
def quiet_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder without a `.env` file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wait_for(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def answers(servers: Servers) -> bool:
    try:
        with psycopg.connect(servers.database_url) as connection, Redis.from_url(servers.redis_url) as client:
            return connection.execute("SELECT 1").fetchone() == (1,) and client.ping() is True
    except (psycopg.OperationalError, RedisError):
        return False


def read_pids(servers: Servers) -> tuple[int, int]:
    with psycopg.connect(servers.database_url) as connection, Redis.from_url(servers.redis_url) as client:
        row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
        assert row is not None
        return int(row[0].split()[0]), int(client.info()["process_id"])


def is_gone(pid: int) -> bool:
    """Return whether a process has ended, zombies included: in a container no process may reap them."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_servers_are_as_the_engine_needs_them(servers: Servers) -> None:
    with psycopg.connect(servers.database_url) as connection:
        row = connection.execute(
            "SELECT current_setting('server_encoding'), datlocale, current_setting('max_connections'),"
            " current_setting('listen_addresses'), current_setting('fsync') FROM pg_database WHERE datname = 'postgres'"
        ).fetchone()
    with Redis.from_url(servers.redis_url) as client:
        policy = client.config_get("maxmemory-policy")
    assert row == ("UTF8", "C.UTF-8", "200", "", "on")
    assert policy == {"maxmemory-policy": "noeviction"}


def test_an_uninstalled_language_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    monkeypatch.setenv("LANG", "xx_YY.UTF-8")
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    # When
    with start(redis_url="redis://elsewhere") as servers, psycopg.connect(servers.database_url) as connection:
        row = connection.execute("SELECT upper('ä'), current_setting('lc_messages')").fetchone()
    # Then
    assert row == ("Ä", "C")
    assert servers.redis_url == "redis://elsewhere"


def test_the_environment_wins_then_the_env_file_then_running_servers(
    servers: Servers, data: Path, quiet_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = data.parent / "servers.json"
    # Given nothing else
    assert find_urls(state) == (servers.database_url, servers.redis_url)
    # When the file gives one address, the other is still that of the running servers
    (quiet_folder / ".env").write_text("DATABASE_URL=postgresql://file/checkout\n")
    assert find_urls(state) == ("postgresql://file/checkout", servers.redis_url)
    # When the environment gives both
    monkeypatch.setenv("DATABASE_URL", GIVEN[0])
    monkeypatch.setenv("REDIS_URL", GIVEN[1])
    # Then
    assert find_urls(state) == GIVEN
    assert open_settings(state) == build_settings(*GIVEN)
    with serve() as settings:
        assert settings == build_settings(*GIVEN)


def test_a_second_owner_of_the_same_folder_is_refused(servers: Servers, data: Path) -> None:
    with pytest.raises(EmbeddedError) as caught:
        start(data, state=data.parent / "servers.json")
    assert str(caught.value) == f"The servers of {data.parent} are already running; stop the other `checkout up`."
    assert answers(servers)


def test_a_state_file_whose_owner_has_ended_is_ignored(quiet_folder: Path) -> None:
    # Given the file of a crashed owner
    state = quiet_folder / "servers.json"
    state.write_text('{"database_url": "postgresql://old/x", "redis_url": "redis://old/0", "pid": 1}')
    # Then
    assert read_state(state) == {}
    assert find_urls(state) is None
    with pytest.raises(EmbeddedError, match=r"run `checkout up` beside this"):
        open_settings(state)


def test_a_crashed_server_is_restarted_at_the_same_address(servers: Servers) -> None:
    # Given
    postgres, valkey = read_pids(servers)
    # When
    os.kill(postgres, signal.SIGKILL)
    os.kill(valkey, signal.SIGKILL)
    # Then
    wait_for(lambda: is_gone(postgres) and is_gone(valkey) and answers(servers))
    assert set(read_pids(servers)).isdisjoint({postgres, valkey})


def test_stop_leaves_no_process_and_no_folder_and_keeps_the_data(local_folder: Path) -> None:
    # Given
    place, state = local_folder / "kept", local_folder / "kept.json"
    first = start(place, state=state)
    with psycopg.connect(first.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    pids = read_pids(first)
    folder = Path(first.database_url.partition("host=")[2])
    # When
    first.stop()
    first.stop()
    # Then
    assert [is_gone(pid) for pid in (*pids, first.pid)] == [True, True, True]
    assert not folder.exists()
    assert read_state(state) == {}
    # When they start again
    with start(place) as second, psycopg.connect(second.database_url) as connection:
        # Then
        assert connection.execute("SELECT number FROM kept").fetchone() == (1,)


def test_servers_end_when_their_user_is_killed() -> None:
    # Given a process that has started servers
    code = (
        "import sys; from scripts.local_servers.embedded import start; s = start();"
        "print(s.pid, s.database_url, s.redis_url, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        owner, database_url, redis_url = user.stdout.readline().split()
        pids = read_pids(Servers(database_url, redis_url, int(owner), user))  # type: ignore[arg-type] # only read
        # When
        user.kill()
    # Then
    wait_for(lambda: all(is_gone(pid) for pid in (*pids, int(owner))))
    assert not Path(database_url.partition("host=")[2]).exists()
