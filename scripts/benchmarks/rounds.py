"""Measures the whole engine, one round of each: throughput, growth, memory, units, disturbances."""

import time
from functools import partial
from typing import Any, Final

from pipeline.saga import get_chain
from pipeline.saga.chain import GatewayPhase
from scripts.benchmarks.bank import AgreeingBank
from scripts.benchmarks.copies import vacuum_and_checkpoint
from scripts.benchmarks.floor import measure_empty
from scripts.benchmarks.growth import (
    FEW,
    change_order,
    copy_finished,
    read_changes_done,
    read_end,
    time_audit,
    time_orders,
    time_queries,
)
from scripts.benchmarks.idle import read_milliseconds
from scripts.benchmarks.memory import read_memory
from scripts.benchmarks.peers_run import ENGINE, measure_crash, measure_speed
from scripts.benchmarks.runner import STALL_SECONDS, VARIANTS, BenchmarkRunner, Figures
from scripts.benchmarks.stalls import Disturbance, measure, prepare
from scripts.benchmarks.workload import fill_carts, read_makespan, start_all, start_checkout, stock_variants

#: A provider's latency, and enough purchases to keep its calls busy for half a minute.
BANK_SECONDS: Final = 0.3
UNITS_SIZE: Final = 1500
MEMORY_SIZE: Final = 50_000


def measure_throughput(runner: BenchmarkRunner) -> Figures:
    """Yield rates with ten thousand variants, with one variant, with a bank without a ledger, and of empty actors."""
    yield "uniform_per_second", runner.measure_rate()
    yield "empty_per_second", measure_empty(runner)
    yield "hot_per_second", runner.measure_rate(1)
    yield "without_ledger_per_second", runner.measure_rate(agreeing=True)


def measure_peers(runner: BenchmarkRunner, names: tuple[str, ...]) -> Figures:
    """Yield rates of the same purchases on other engines, and on this one with the same bank."""
    yield "agreeing_per_second", runner.measure_rate(agreeing=True)
    for name in names:
        with runner.open(gateway=AgreeingBank.name) as own:
            components = own.build(agreeing=True)
            size = max(200, runner.size // 6)
            yield f"{name}_per_second", measure_speed(name, own.settings, components, own.log, runner.ending, size)


def measure_crashes(runner: BenchmarkRunner, names: tuple[str, ...]) -> Figures:
    """Yield how many of 400 finish when all workers are killed three times, and the seconds after the last kill."""
    for name in names:
        is_engine = name == ENGINE
        # The audit runs only when all have finished: a peer may leave others in the middle of their work.
        changes: dict[str, Any] = {} if is_engine else {"gateway": AgreeingBank.name}
        with runner.open(audited=False, **changes) as own:
            components = own.build(agreeing=not is_engine)
            done, seconds = measure_crash(name, own.settings, components, own.log, runner.ending)
            yield f"{name}_finished_of_400", done
            if seconds is not None:
                yield f"{name}_seconds_after_kill", seconds
                runner.audit(own.settings)


def measure_units(runner: BenchmarkRunner) -> Figures:
    """Yield rates with one and two units of the two phases that wait for a slow bank."""
    for units in (1, 2):
        scale = {phase.name: units for phase in get_chain() if isinstance(phase.work, GatewayPhase)}
        rate = runner.measure_rate(scale=scale, size=UNITS_SIZE, bank_seconds=BANK_SECONDS)
        yield f"units_{units}_per_second", rate


def measure_growth(runner: BenchmarkRunner) -> Figures:
    """Yield throughput, and times of sweep, monitor, lists, orders, events and audit, beside few and many orders."""
    for prefix, copies in (("", FEW), ("grown_", runner.grown)):
        with runner.open(redeliver_after_seconds=STALL_SECONDS) as own:
            components = own.build()
            stock_variants(components.database, VARIANTS, runner.size + 1)
            carts = fill_carts(components.database, runner.size + 1, VARIANTS)
            own.serve()
            first = start_checkout(components, carts[0])
            runner.wait(partial(read_milliseconds, components, first))
            change_order(components, first)
            runner.wait(partial(read_changes_done, components))
            copy_finished(components.database, first, copies)
            vacuum_and_checkpoint(components.database)
            near_end = read_end(components)
            began = time.time()
            sends = start_all(components, carts[1:])
            components.publisher.send(sends)
            seconds = runner.wait(lambda: read_makespan(components.database, since=began))  # noqa: B023 (done at once)
            yield f"{prefix}per_second", runner.size / seconds
            for name, milliseconds in time_queries(components, own.settings).items():
                yield f"{prefix}{name}", milliseconds
            for name, milliseconds in time_orders(components, near_end).items():
                yield f"{prefix}{name}", milliseconds
            yield f"{prefix}audit_seconds", time_audit(components, own.settings)


def measure_memory(runner: BenchmarkRunner) -> Figures:
    """Yield the workers' memory after fifty thousand checkouts, and after as many again."""
    with runner.open(redeliver_after_seconds=STALL_SECONDS) as own:
        components = own.build()
        stock_variants(components.database, VARIANTS, 2 * MEMORY_SIZE)
        supervisor = own.serve()
        for prefix in ("first", "second"):
            sends = start_all(components, fill_carts(components.database, MEMORY_SIZE, VARIANTS))
            components.publisher.send(sends)
            runner.wait(lambda: read_makespan(components.database))
            yield f"{prefix}_megabytes", read_memory(supervisor)


def measure_stalls(runner: BenchmarkRunner) -> Figures:
    """Yield the p95 of buyers' durations in milliseconds for each disturbance: one buyer in forty, or a burst."""
    for disturbance in Disturbance:
        with runner.open() as own:
            components = own.build()
            carts = prepare(components, disturbance)
            own.serve()
            yield f"p95_{disturbance}_ms", measure(components, carts, disturbance, runner.ending)
