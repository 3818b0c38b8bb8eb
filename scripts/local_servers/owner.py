"""The process that owns the embedded servers: `python -m scripts.local_servers.owner`.

It runs in its own session and ends, with its servers, when its standard input closes, so nothing is left behind even
when its parent is killed. A server that crashes is started again on the same address.
"""

import argparse
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from pipeline.operations import CommandLine
from scripts.environments.reaper import discard
from scripts.local_servers.postgres import EmbeddedError, Postgres, find_account, reach
from scripts.local_servers.valkey import Valkey

#: A socket address holds 107 bytes on Linux and 103 on macOS; PostgreSQL's file name takes 15 of them.
SOCKET_FOLDER_LIMIT: Final = 88
#: After a SIGKILL of its parent, PostgreSQL's last processes may hold the old memory for some seconds.
RESTART_SECONDS: Final = 15
ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def make_folder(*, kept: bool = False) -> Path:
    """Make the temporary folder: short enough for a socket, and open to the account that PostgreSQL runs as.

    It is removed at the end of this process at the latest, unless `kept`.
    """
    account = find_account()
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108 (mkdtemp makes it private)
        place = Path(parent).resolve()
        if place.is_dir() and len(os.fsencode(place)) < SOCKET_FOLDER_LIMIT - 16 and reach(place, account):
            folder = Path(tempfile.mkdtemp(prefix="checkout-", dir=place))
            if not kept:
                discard(folder)
            if account is not None:
                os.chown(folder, account.uid, account.gid)
            return folder
    raise EmbeddedError("No temporary folder suits PostgreSQL's socket; set TMPDIR to a short path open to all users.")


def place_cluster(wanted: Path | None, folder: Path) -> Path:
    """Return where the data lives: `wanted`, unless PostgreSQL's account cannot reach it.

    Then the data is in a temporary folder that `wanted` links to, found again at the next start. The folders above
    `wanted` are the user's: their permissions are never changed.
    """
    account = find_account()
    if wanted is None:
        return folder / "postgres"
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if wanted.exists():
        return wanted.resolve()
    wanted.unlink(missing_ok=True)  # a link whose temporary folder has been cleaned away
    if reach(wanted.parent.resolve(), account):
        return wanted.resolve()
    place = make_folder(kept=True) / "postgres"
    wanted.symlink_to(place)
    print(f"PostgreSQL's account cannot reach {wanted.parent}: the data is kept in {place}.", file=sys.stderr)
    return place


class Owner:
    """Runs both servers, or one of them."""

    def __init__(self, *, data: Path | None, postgres: bool, redis: bool, counting: bool = False) -> None:
        """Start the servers; raise EmbeddedError, with nothing left running, when one cannot be started."""
        self.folder = make_folder()
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        try:
            if postgres:
                self.postgres = Postgres(place_cluster(data, self.folder), self.folder, counting=counting)
                self.postgres.start()
            if redis:
                self.valkey = Valkey(self.folder)
                self.valkey.start()
        except BaseException:
            self.stop()
            raise

    def describe(self) -> dict[str, Any]:
        """Return the addresses and the process id."""
        return {
            "database_url": self.postgres and self.postgres.url,
            "redis_url": self.valkey and self.valkey.url,
            "pid": os.getpid(),
        }

    def restart_crashed(self) -> None:
        """Start a crashed server again, at its old address; raise EmbeddedError after fifteen seconds."""
        deadline = time.monotonic() + RESTART_SECONDS
        for server in (self.postgres, self.valkey):
            while server is not None and not server.is_running():
                print(f"{type(server).__name__} has ended; starting it again.", file=sys.stderr)
                try:
                    server.start()
                except EmbeddedError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.5)

    def stop(self) -> None:
        """Stop both and remove the temporary folder."""
        for server in (self.valkey, self.postgres):
            if server is not None:
                server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def end(signum: int, _frame: object) -> NoReturn:
    """Exit on a signal as at the end of the input."""
    raise SystemExit(128 + signum)


@contextlib.contextmanager
def lock_state(state: Path | None) -> Iterator[IO[str] | None]:
    """Lock `state` as long as the servers run: a file left by a crash is not locked."""
    if state is None:
        yield None
        return
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedError(
                f"The servers of {state.parent} are already running; stop the other `{CommandLine.UP}`."
            ) from None
        file.truncate(0)
        try:
            yield file
        finally:
            file.truncate(0)


def watch(owner: Owner, stdin: IO[bytes]) -> None:
    """Restart crashed servers until the parent's end of the pipe is closed."""
    while True:
        readable, _, _ = select.select([stdin], [], [], 0.5)
        if readable and not os.read(stdin.fileno(), 4096):
            return
        owner.restart_crashed()


def main() -> int:
    """Start the servers, print one line of JSON (the addresses, or `error`), watch them, stop them."""
    parser = argparse.ArgumentParser(prog="python -m scripts.local_servers.owner", description=__doc__)
    parser.add_argument("--data", type=Path, help="where PostgreSQL's data stays; a temporary folder when not given")
    parser.add_argument("--state", type=Path, help="file to keep the addresses in while the servers run")
    parser.add_argument("--no-postgres", action="store_true")
    parser.add_argument("--no-redis", action="store_true")
    parser.add_argument("--counting", action="store_true", help="PostgreSQL counts the runs of each statement")
    options = parser.parse_args()
    for signum in ENDINGS:
        signal.signal(signum, end)
    announced = False
    try:
        with lock_state(options.state) as state:
            owner = Owner(
                data=options.data,
                postgres=not options.no_postgres,
                redis=not options.no_redis,
                counting=options.counting,
            )
            try:
                for place in (state, sys.stdout):
                    if place is not None:
                        print(json.dumps(owner.describe()), file=place, flush=True)
                announced = True
                watch(owner, sys.stdin.buffer)
            finally:
                for signum in ENDINGS:
                    signal.signal(signum, signal.SIG_IGN)
                owner.stop()
    except EmbeddedError as error:
        print(error if announced else json.dumps({"error": str(error)}), file=sys.stderr if announced else sys.stdout)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
