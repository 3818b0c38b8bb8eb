"""The cluster without root: its configuration as data, its table of faults, and what it says when it cannot run."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pipeline.database.urls import read_database_url
from scripts import cluster
from scripts.distributed import sentinels
from scripts.distributed.configuration import (
    configure_patroni,
    list_etcd_arguments,
    list_valkey_arguments,
    render_sentinel,
)
from scripts.distributed.control import ask, end, hold_state, serve
from scripts.distributed.faults import FAULTS
from scripts.distributed.layout import ADDRESSES, DATABASE_HOSTS, name_database_url, name_redis_url
from scripts.distributed.proof.buyers import find_longest_gap
from scripts.distributed.proof.rounds import Outcome
from scripts.distributed.proof.verification import Verdict
from scripts.distributed.requirements import MODULES, PROGRAMS, explain_missing
from scripts.distributed.sentinels import View
from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ended, Ending
from workers.broker.redis_client import read_redis_url

FOLDER = Path("/srv/db2")


def see(master: str, *, is_calm: bool = True, replicas: int = 2) -> View:
    return View(master, is_calm=is_calm, replicas=replicas, sentinels=2)


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(cluster.app, list(arguments))


def test_patroni_promotes_only_what_has_every_acknowledged_commit() -> None:
    patroni = configure_patroni("db2", FOLDER, Path("/opt/bin"))
    agreed = patroni["bootstrap"]["dcs"]
    assert {
        name: agreed[name] for name in ("synchronous_mode", "synchronous_mode_strict", "synchronous_node_count")
    } == {
        "synchronous_mode": True,
        "synchronous_mode_strict": True,
        "synchronous_node_count": 1,
    }
    assert (agreed["ttl"], agreed["primary_start_timeout"], agreed["failsafe_mode"]) == (20, 0, True)
    # Patroni's own condition for its lease: two attempts of a loop fit into it.
    assert agreed["ttl"] >= agreed["loop_wait"] + 2 * agreed["retry_timeout"]
    assert agreed["postgresql"]["use_pg_rewind"]
    assert agreed["postgresql"]["parameters"]["wal_log_hints"] == "on"
    assert "data-checksums" in patroni["bootstrap"]["initdb"]
    assert json.loads(json.dumps(patroni)) == patroni


def test_a_host_listens_at_its_own_addresses_and_lets_a_demoted_primary_follow() -> None:
    patroni = configure_patroni("db2", FOLDER, Path("/opt/bin"))
    assert patroni["postgresql"]["listen"] == "10.78.0.12,127.0.0.1:5432"
    assert patroni["restapi"]["listen"] == "10.78.0.12:8008"
    assert patroni["etcd3"]["hosts"] == "10.78.0.11:2379,10.78.0.12:2379,10.78.0.13:2379"
    assert "host replication all 127.0.0.1/32 trust" in patroni["postgresql"]["pg_hba"]


def test_two_of_three_sentinels_decide() -> None:
    assert render_sentinel("db2", FOLDER, "db1").splitlines()[-5:] == [
        "sentinel announce-ip 10.78.0.12",
        "sentinel monitor checkout 10.78.0.11 6379 2",
        "sentinel down-after-milliseconds checkout 2000",
        "sentinel failover-timeout checkout 6000",
        "sentinel parallel-syncs checkout 2",
    ]


def test_a_valkey_follows_the_master_unless_it_is_the_master() -> None:
    assert list_valkey_arguments("db2", FOLDER, "db1")[-2:] == ["--replicaof", "10.78.0.11 6379"]
    assert "--replicaof" not in list_valkey_arguments("db2", FOLDER, None)


@pytest.mark.parametrize(
    ("views", "named", "calm"),
    [
        ((see("db1"),) * 3, "db1", "db1"),
        # One that has returned with an old file
        ((see("db1"), see("db2"), see("db2")), "db2", "db2"),
        # A failover is under way, or one Sentinel is alone
        ((None, see("db1", is_calm=False), see("db1")), "db1", None),
        ((None, None, see("db1")), None, None),
        ((None, see("db1"), see("db2")), None, None),
    ],
)
def test_two_sentinels_that_agree_name_the_master(
    views: tuple[View | None, ...], named: str | None, calm: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentinels, "ask_sentinel", dict(zip(DATABASE_HOSTS, views, strict=True)).get)
    assert (sentinels.find_valkey(), sentinels.find_valkey(calm=True)) == (named, calm)


def test_a_cluster_is_not_stable_before_every_sentinel_knows_every_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    views = {"db1": see("db3"), "db2": see("db3", replicas=1), "db3": see("db3", is_calm=False)}
    monkeypatch.setattr(sentinels, "ask_sentinel", views.get)
    monkeypatch.setattr(sentinels, "count_replicas", lambda _: 1)
    assert sentinels.list_missing() == [
        "the Sentinel of db2 knows 1 replicas and 2 Sentinels that are up",
        "the Sentinel of db3 sees no quiet master",
        "1 replicas follow Valkey's master db3",
    ]
    monkeypatch.setattr(sentinels, "ask_sentinel", {**views, "db1": None}.get)
    assert sentinels.list_missing() == ["the Sentinels name None, db3 as Valkey's master"]


def test_the_members_of_etcd_know_each_other() -> None:
    arguments = list_etcd_arguments("db3", FOLDER)
    members = arguments[arguments.index("--initial-cluster") + 1]
    assert members == "db1=http://10.78.0.11:2380,db2=http://10.78.0.12:2380,db3=http://10.78.0.13:2380"


def test_the_engine_reads_the_addresses_of_the_cluster() -> None:
    url = read_database_url(name_database_url("engine"))
    assert url.query["host"] == ",".join(ADDRESSES[name] for name in DATABASE_HOSTS)
    assert url.query["target_session_attrs"] == "read-write"
    redis = read_redis_url(name_redis_url())
    assert (redis.service, redis.sentinels[0]) == ("checkout", ("10.78.0.11", 26379))


def test_what_is_missing_is_one_sentence_with_the_commands() -> None:
    missing = explain_missing(
        find=lambda name: None if name in {"ip", "tc", "etcd"} else name,
        find_module=lambda name: None if name == "patroni" else name,
        is_root=False,
        platform="linux",
    )
    assert missing == (
        "A cluster needs, and does not find here: root (it makes network namespaces); "
        "ip, tc, etcd (`apt-get install --no-install-recommends iproute2 etcd-server`); "
        "patroni (`pip install -e '.[cluster]'`)."
    )


def test_nothing_is_said_where_nothing_is_missing() -> None:
    assert explain_missing(find=lambda _: True, find_module=lambda _: True, is_root=True, platform="linux") is None
    assert {"ip", "etcd", "nsenter"} <= PROGRAMS.keys()
    assert "patroni" in MODULES


def test_another_system_than_linux_is_refused() -> None:
    assert explain_missing(platform="darwin") == "A cluster needs Linux: its hosts are network namespaces."


@pytest.mark.parametrize("arguments", [("up",), ("run", "--fault", "switchover")])
def test_a_command_that_cannot_run_says_why_and_exits_with_2(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "explain_missing", lambda: "A cluster needs root.")
    monkeypatch.setattr(cluster, "hold_state", lambda: hold_state(tmp_path / "cluster.json"))
    done = invoke(*arguments)
    assert (done.exit_code, done.stderr) == (2, "A cluster needs root.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("fault", "flood"), ("run", "--fault", "flood"), ("run", "--rounds", "0")])
def test_a_wrong_argument_is_refused(arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert "flood" in done.stderr or "--rounds" in done.stderr


def test_the_command_names_every_fault_of_the_table() -> None:
    assert tuple(FAULTS) == cluster.NAMES


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_meaning_and_a_bound(name: str) -> None:
    fault = FAULTS[name]
    assert fault.meaning
    assert fault.begin.__doc__
    assert fault.bound_seconds > 0
    assert fault.hold_seconds >= 0


def test_the_longest_gap_counts_the_ends() -> None:
    assert find_longest_gap([1.0, 2.0, 9.0], 0.0, 10.0) == 7.0
    assert find_longest_gap([], 0.0, 10.0) == 10.0
    assert find_longest_gap([-5.0, 1.0, 20.0], 0.0, 4.0) == 3.0


def test_an_outcome_names_what_is_lost_and_what_took_too_long() -> None:
    outcome = Outcome("switchover", gap_seconds=7.25, bound_seconds=6, verdict=Verdict(orders_lost=1))
    assert outcome.list_objections() == [
        "1 acknowledged orders are lost",
        "no purchase was finished for 7.2 s, the bound is 6 s",
    ]
    assert Outcome("switchover", gap_seconds=5.9, bound_seconds=6).list_objections() == []


def test_nothing_answers_where_no_cluster_is_up(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"^No cluster is up, or it is not ready yet"):
        ask("switchover", print, tmp_path / "cluster.json")
    assert end(tmp_path / "cluster.json") is False


def test_a_second_cluster_is_refused_and_the_first_one_keeps_its_file(tmp_path: Path) -> None:
    state = tmp_path / "cluster.json"
    with hold_state(state):
        with pytest.raises(CommandError, match=r"^A cluster is up already"), hold_state(state):
            pass
        assert state.exists()
    assert not state.exists()


def test_a_request_is_answered_line_by_line_and_its_failure_too(tmp_path: Path) -> None:
    state, address = tmp_path / "cluster.json", tmp_path / "control"

    def answer(name: str, report: Any) -> None:
        report(f"{name} injected")
        if name == "both-cut":
            raise CommandError("After 180 s\nthe cluster is not stable.")

    class Stop(Ending):
        stopped = threading.Event()

        def sleep(self, seconds: float) -> None:
            if self.stopped.wait(seconds):
                raise Ended(15)

    def keep_serving() -> None:
        with pytest.raises(Ended):
            serve(address, answer, ending)

    ending = Stop()
    with hold_state(state) as write:
        server = threading.Thread(target=keep_serving)
        server.start()
        while not address.exists():
            pass
        write({"pid": 1, "socket": str(address)})
        lines: list[str] = []
        ask("switchover", lines.append, state)
        assert lines == ["switchover injected"]
        with pytest.raises(CommandError, match=r"^After 180 s the cluster is not stable\.$"):
            ask("both-cut", lines.append, state)
        ending.stopped.set()
        server.join()


def test_names_are_checked_before_anything_starts() -> None:
    with pytest.raises(typer.BadParameter, match="There is no fault flood"):
        cluster._check_names(["flood"])
