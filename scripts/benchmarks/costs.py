"""What a checkout costs each process: the figures with which `checkout sizing` reckons."""

from typing import Final

import redis
from sqlalchemy import Engine, text

from scripts.benchmarks.over_http import COMPARED, PURCHASES, measure_engine
from scripts.benchmarks.processor_time import Seconds, read_seconds
from scripts.benchmarks.runner import STALL_SECONDS, VARIANTS, BenchmarkRunner, Figures
from scripts.benchmarks.workload import fill_carts, read_makespan, start_all, stock_variants
from scripts.environments.fleet import read_procfile
from scripts.environments.supervisor import Supervisor

WRITTEN: Final = text("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")


def measure_costs(runner: BenchmarkRunner) -> Figures:
    """Yield processor time by line of the Procfile, in ms a checkout, and bytes of WAL a checkout.

    First of a backlog, then of purchases over HTTP by so many buyers as are compared with a backlog elsewhere.
    """
    with runner.open(redeliver_after_seconds=STALL_SECONDS) as own:
        components = own.build()
        stock_variants(components.database, VARIANTS, runner.size)
        messages = start_all(components, fill_carts(components.database, runner.size, VARIANTS))
        supervisor = own.serve(read_procfile())
        with redis.Redis.from_url(own.settings.redis_url.get_secret_value()) as client:
            before, wal_before = _read(supervisor, components.database, client)
            components.publisher.send(messages)
            runner.wait(lambda: read_makespan(components.database))
            after, wal_after = _read(supervisor, components.database, client)
    for name in sorted(after):
        yield f"costs_{name}_ms", (after[name] - before.get(name, 0)) * 1000 / runner.size
    yield "costs_wal_bytes", (wal_after - wal_before) / runner.size
    kinds = {name: [name] for name in (*read_procfile(with_web=True), "postgres", "valkey")}
    for name, value in measure_engine(runner, PURCHASES[COMPARED], buyers=COMPARED, kinds=kinds):
        if name.endswith("_cpu_ms"):
            yield f"costs_http_{name.removesuffix('_cpu_ms')}_ms", value


def _read(supervisor: Supervisor, database: Engine, client: redis.Redis) -> tuple[Seconds, float]:
    with database.connect() as connection:
        written = float(connection.execute(WRITTEN).scalar_one())
    return read_seconds(supervisor, database, client), written
