"""Keep every line of the Procfile running, with PostgreSQL and Valkey from wheels when none are set.

Their data stays in `.local/`; commands started beside this one find the same servers. Ctrl-C ends everything.
"""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.database import connect_engine, transaction
from pipeline.gateways import build_gateway, require_choice
from pipeline.operations import CommandLine
from pipeline.security import Scope, create_key, find_callers
from pipeline.security.printable import make_printable
from scripts.environments.command_errors import CommandError, explain_errors
from scripts.environments.ending import Ended, Ending
from scripts.environments.fleet import read_procfile
from scripts.environments.supervisor import Supervisor, build_env
from scripts.local_servers.embedded import ROOT, STATE, Urls, build_settings, start

KEY_OWNER: Final = "shop-1"
#: Only a signal ends the wait.
LONG_SECONDS: Final = 3600
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class Printer:
    """Prints the lines of many processes, each with the name of its process; in colour on a terminal."""

    def __init__(self, names: list[str]) -> None:
        """Align and colour these names."""
        self._width = max(map(len, names)) + 2
        self._colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Print one line."""
        label = f"{name:<{self._width}} |"
        if sys.stdout.isatty():
            label = f"\033[{self._colours[name.rpartition('.')[0]]}m{label}\033[0m"
        with self._lock:
            print(label, make_printable(line, most=None), flush=True)


def read_lines(path: Path, only: str) -> dict[str, str]:
    """Return the Procfile's commands by name; only the named ones, if any are named."""
    lines = read_procfile(path, with_web=True)
    names = [name for name in only.split(",") if name]
    unknown = sorted(set(names) - lines.keys())
    if unknown:
        raise typer.BadParameter(f"The Procfile has no {', '.join(unknown)}; it has {', '.join(lines)}.")
    return {name: lines[name] for name in names} if names else lines


def read_scale(parts: list[str], lines: dict[str, str]) -> dict[str, int]:
    """Return how many processes each line gets, from `name=N`."""
    scale = {}
    for part in parts:
        name, _, count = part.partition("=")
        if name not in lines or not count.isdecimal():
            raise typer.BadParameter(f"`{part}` is not NAME=COUNT with a name of {', '.join(lines)}.")
        scale[name] = int(count)
    return scale


def open_servers(stack: ExitStack, local: Path) -> dict[str, str]:
    """Start the servers that have no address; return the environment of the processes. `stack` stops the servers."""
    with explain_errors():
        given = Urls()
        database_url, redis_url = given.database_url, given.redis_url
        if not (database_url and redis_url):
            servers = stack.enter_context(
                start(local / "postgres", database_url=database_url, redis_url=redis_url, state=local / STATE.name)
            )
            database_url, redis_url = servers.database_url, servers.redis_url
            # Only addresses of servers that were started here are shown: a given one may hold a password.
            if not given.database_url:
                print(f"DATABASE_URL={database_url}", flush=True)
            if not given.redis_url:
                print(f"REDIS_URL={redis_url}", flush=True)
        settings = build_settings(database_url, redis_url)
        # What its settings lack is said here once, and not by each process again and again.
        build_gateway(settings).close()
        print(f"Payments: {require_choice(settings).sentence}", flush=True)
        return build_env(settings)


def show_key(path: Path, env: Mapping[str, str]) -> None:
    """Print a valid API key of the HTTP edge: the one of the last start if it is still valid, else a new one.

    For a given database print only the command that makes one.
    """
    if Urls().database_url:
        print(f"API keys: {CommandLine.CREATE_KEY}", flush=True)
        return
    settings = build_settings(env["DATABASE_URL"], env["REDIS_URL"])
    engine = connect_engine(settings, application_name="up", pool_size=1)
    with transaction(engine) as connection:
        token = path.read_text().strip() if path.exists() else ""
        if find_callers(connection, [token])[0] is None:
            _, token = create_key(connection, owner=KEY_OWNER, name="up", scopes=list(Scope), cell=settings.cell)
            path.touch(0o600)
            path.write_text(f"{token}\n")
    engine.dispose()
    print(f"API key (owner {KEY_OWNER}): {token}", flush=True)
    print(f'curl -H "Authorization: Bearer {token}" http://{settings.web_host}:{settings.web_port}/metrics', flush=True)


def main(
    only: Annotated[str, typer.Option(help="Run only these lines: NAME,NAME")] = "",
    scale: Annotated[list[str] | None, typer.Option(help="Run a line more than once: NAME=COUNT")] = None,
    procfile: Annotated[Path, typer.Option(help="The file that names the processes")] = ROOT / "Procfile",
    local: Annotated[Path, typer.Option(help="Where the data of embedded servers stays")] = STATE.parent,
) -> None:
    """Keep every line of the Procfile running; Ctrl-C ends everything."""
    lines = read_lines(procfile, only)
    counts = read_scale(scale or [], lines)
    with Ending() as ending, ExitStack() as stack:
        try:
            env = open_servers(stack, local)
        except CommandError as error:
            print(error, file=sys.stderr)
            raise typer.Exit(1) from error
        migrated = subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], cwd=ROOT, env=env, check=False)
        if migrated.returncode:
            print("The schema could not be brought up to date; the reason is above.", file=sys.stderr)
            raise typer.Exit(migrated.returncode)
        show_key(local / "api-key", env)
        print("Ctrl-C ends everything.", flush=True)
        supervisor = stack.enter_context(Supervisor(env, Printer(list(lines))))
        supervisor.start(lines, counts)
        with contextlib.suppress(Ended):
            while True:
                ending.sleep(LONG_SECONDS)
        print("Ending; running batches are finished first.", flush=True)


if __name__ == "__main__":
    typer.run(main)
