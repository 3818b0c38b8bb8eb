"""What is measured of the engine as a whole, one round of each: throughput, growth, memory, units, disturbances."""

import time
from functools import partial
from typing import Any, Final

from pipeline.saga import get_chain
from pipeline.saga.chain import GatewayPhase
from scripts.benchmarks.bank import AgreeingBank
from scripts.benchmarks.copies import take_stock
from scripts.benchmarks.floor import measure_empty
from scripts.benchmarks.ground import STALL_SECONDS, VARIANTS, Figures, Ground
from scripts.benchmarks.growth import copy_finished, time_queries
from scripts.benchmarks.idle import read_milliseconds
from scripts.benchmarks.memory import read_memory
from scripts.benchmarks.peers_run import ENGINE, measure_crash, measure_speed
from scripts.benchmarks.stalls import Disturbance, measure, prepare
from scripts.benchmarks.workload import fill_carts, read_makespan, start_all, start_checkout, stock_shelf

#: What a provider takes for one answer, and purchases enough to keep its calls busy for half a minute.
BANK_SECONDS: Final = 0.3
UNITS_SIZE: Final = 1500
MEMORY_SIZE: Final = 50_000
GROWN: Final = 1_000_000


def measure_throughput(ground: Ground) -> Figures:
    """Ten thousand variants, one variant, and a bank without books, beside empty actors."""
    yield "uniform_per_second", ground.rush_through()
    yield "empty_per_second", measure_empty(ground)
    yield "hot_per_second", ground.rush_through(1)
    yield "without_ledger_per_second", ground.rush_through(agreeing=True)


def measure_peers(ground: Ground, names: tuple[str, ...]) -> Figures:
    """The same purchases on other engines, and on this one with a bank that agrees as theirs does."""
    yield "agreeing_per_second", ground.rush_through(agreeing=True)
    for name in names:
        with ground.open(gateway=AgreeingBank.name) as own:
            engine = own.build(agreeing=True)
            size = max(200, ground.size // 6)
            yield f"{name}_per_second", measure_speed(name, own.settings, engine, own.log, ground.ending, size)


def measure_crashes(ground: Ground, names: tuple[str, ...]) -> Figures:
    """Of 400, how many finish when all workers are killed three times, and how long after the last kill."""
    for name in names:
        is_ours = name == ENGINE
        # Of a peer that finishes all: what others leave behind in the middle of their work is theirs.
        changes: dict[str, Any] = {} if is_ours else {"gateway": AgreeingBank.name}
        with ground.open(audited=False, **changes) as own:
            engine = own.build(agreeing=not is_ours)
            done, seconds = measure_crash(name, own.settings, engine, own.log, ground.ending)
            yield f"{name}_finished_of_400", done
            if seconds is not None:
                yield f"{name}_seconds_after_kill", seconds
                ground.audit(own.settings)


def measure_units(ground: Ground) -> Figures:
    """One and two units of the phases that wait for a bank which takes its time."""
    for units in (1, 2):
        scale = {phase.name: units for phase in get_chain() if isinstance(phase.work, GatewayPhase)}
        rate = ground.rush_through(scale=scale, size=UNITS_SIZE, bank_seconds=BANK_SECONDS)
        yield f"units_{units}_per_second", rate


def measure_growth(ground: Ground) -> Figures:
    """Throughput, the sweep's tick, the monitor and the list, with a million finished checkouts and with none."""
    for prefix, copies in (("", 0), ("grown_", GROWN)):
        with ground.open(redeliver_after_seconds=STALL_SECONDS) as own:
            engine = own.build()
            stock_shelf(engine.database, VARIANTS, ground.size + 1)
            carts = fill_carts(engine.database, ground.size + 1, VARIANTS)
            own.serve()
            first = start_checkout(engine, carts[0])
            ground.wait(partial(read_milliseconds, engine, first))
            if copies:
                copy_finished(engine.database, first, copies)
            take_stock(engine.database)
            began = time.time()
            sends = start_all(engine, carts[1:])
            engine.publisher.send(sends)
            seconds = ground.wait(lambda: read_makespan(engine.database, since=began))  # noqa: B023 (done at once)
            yield f"{prefix}per_second", ground.size / seconds
            for name, milliseconds in time_queries(engine, own.settings).items():
                yield f"{prefix}{name}", milliseconds


def measure_memory(ground: Ground) -> Figures:
    """What the workers hold after fifty thousand checkouts, and after as many again."""
    with ground.open(redeliver_after_seconds=STALL_SECONDS) as own:
        engine = own.build()
        stock_shelf(engine.database, VARIANTS, 2 * MEMORY_SIZE)
        supervisor = own.serve()
        for prefix in ("first", "second"):
            sends = start_all(engine, fill_carts(engine.database, MEMORY_SIZE, VARIANTS))
            engine.publisher.send(sends)
            ground.wait(lambda: read_makespan(engine.database))
            yield f"{prefix}_megabytes", read_memory(supervisor)


def measure_stalls(ground: Ground) -> Figures:
    """The 95th percentile of buyers' durations, in milliseconds, while one in forty disturbs, or a crowd."""
    for disturbance in Disturbance:
        with ground.open() as own:
            engine = own.build()
            carts = prepare(engine, disturbance)
            own.serve()
            yield f"p95_{disturbance}_ms", measure(engine, carts, disturbance, ground.ending)
