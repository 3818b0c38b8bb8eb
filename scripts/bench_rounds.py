"""What is measured, one round of each: in a database of its own, on fresh processes, with the audit at its end."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import requests
from sqlalchemy import text

from pipeline.audit import take_report
from pipeline.database import connect_engine
from pipeline.keys import Scope, create_key
from pipeline.settings import Settings
from scripts.bench_bank import AgreeingBank
from scripts.bench_growth import copy_finished, time_looks
from scripts.bench_memory import read_memory
from scripts.bench_peers import ENGINE, measure_crash, measure_speed
from scripts.bench_stalls import Disturbance, measure, prepare
from scripts.empty_chain import EmptyChain
from scripts.ending import Ending
from scripts.fleet import FleetLog, read_procfile, run_fleet
from scripts.obstacles import Obstacle
from scripts.scratch import open_scratch
from scripts.valkey_server import find_port
from scripts.workload import OWNER, TOKEN, fill_carts, read_makespan, start_all, start_checkout, stock_shelf
from workers.engine import CheckoutEngine, build_engine

T = TypeVar("T")

#: What people run: two processes of eight threads, all queues.
EMPTY_LINE: Final = {"empty": "dramatiq scripts.empty_chain:build_broker -p 2 -t 8"}
VARIANTS: Final = 10_000
#: Purchases of one idle round; a stock chain takes up to four seconds for each.
IDLE_COUNT: Final = 100
EMPTY_IDLE_COUNT: Final = 10
#: What a provider takes for one answer, and purchases enough to keep its calls busy for half a minute.
BANK_SECONDS: Final = 0.3
UNITS_SIZE: Final = 1500
RUSH_BUYERS: Final = 20_000
RUSH_UNITS: Final = 500
MEMORY_SIZE: Final = 50_000
GROWN: Final = 1_000_000
#: A backlog is made for longer than a message counts as lost by default: the sweep is not to send what waits for the
#: start.
STALL_SECONDS: Final = 600
#: A round that takes longer is stuck.
ROUND_SECONDS: Final = 300
LOOK_SECONDS: Final = 0.02

# The clock of a rush begins with the first commit of a phase, as that of a makespan.
RUSH: Final = text("""
    WITH began AS (SELECT min(at) AS at FROM events WHERE kind = 'checkout.phase_completed')
    SELECT (SELECT count(*) FROM checkouts WHERE state = 'completed') AS sold,
           (SELECT count(*) FROM checkouts WHERE state = 'failed' AND failure_code = 'out_of_stock') AS refused,
           (SELECT extract(epoch FROM max(e.at) - began.at) FROM events e
            WHERE e.phase = 'inventory_reservation' AND e.kind = 'checkout.phase_completed') AS sold_out,
           (SELECT extract(epoch FROM max(c.ended_at) - began.at) FROM checkouts c
            WHERE c.state = 'failed') AS last_refusal,
           (SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM c.ended_at - began.at))
            FROM checkouts c WHERE c.state = 'failed') AS refusal_p99
    FROM began
""")

Figures = Iterator[tuple[str, float]]


class Bench:
    """The rounds."""

    def __init__(self, settings: Settings, ending: Ending, *, size: int) -> None:
        """Measure `size` checkouts a round."""
        self.settings = settings.model_copy(update={"log_level": "warning"})
        self.ending, self.size = ending, size
        self.violations: list[str] = []

    def measure_throughput(self) -> Figures:
        """Ten thousand variants, one variant, and a bank without books, beside empty actors."""
        yield "uniform_per_second", self._rush_through(VARIANTS)
        yield "empty_per_second", self._measure_empty()
        yield "hot_per_second", self._rush_through(1)
        yield "without_ledger_per_second", self._rush_through(VARIANTS, agreeing=True)

    def measure_peers(self, names: tuple[str, ...]) -> Figures:
        """The same purchases on other engines, and on this one with a bank that agrees as theirs does."""
        yield "agreeing_per_second", self._rush_through(VARIANTS, agreeing=True)
        for name in names:
            with self._scratch(gateway=AgreeingBank.name) as (settings, stack, log):
                engine = self._build(settings, stack, agreeing=True)
                size = max(200, self.size // 6)
                yield f"{name}_per_second", measure_speed(name, settings, engine, log, self.ending, size)
                self._audit(settings)

    def measure_crashes(self, names: tuple[str, ...]) -> Figures:
        """Of 400, how many finish when all workers are killed three times, and how long after the last kill."""
        for name in names:
            own = name == ENGINE
            with self._scratch(**({} if own else {"gateway": AgreeingBank.name})) as (settings, stack, log):
                engine = self._build(settings, stack, agreeing=not own)
                done, seconds = measure_crash(name, settings, engine, log, self.ending)
                yield f"{name}_finished_of_400", done
                if seconds is not None:
                    yield f"{name}_seconds_after_kill", seconds
                    self._audit(settings)

    def measure_units(self) -> Figures:
        """One and two units of the two phases that wait for a bank which takes its time."""
        for units in (1, 2):
            scale = {"payment_authorization": units, "payment_capture": units}
            rate = self._rush_through(VARIANTS, scale=scale, size=UNITS_SIZE, sandbox_latency_seconds=BANK_SECONDS)
            yield f"units_{units}_per_second", rate

    def measure_idle(self) -> Figures:
        """One checkout at a time: by a message, over HTTP, and an empty chain."""
        with self._scratch(web_port=find_port(), web_requests_per_minute=1_000_000) as (settings, stack, log):
            engine = self._build(settings, stack)
            stock_shelf(engine.database, 10, 2 * IDLE_COUNT)
            carts = fill_carts(engine.database, 2 * IDLE_COUNT, 10)
            with engine.database.begin() as connection:
                _, key = create_key(connection, owner=OWNER, name="bench", scopes=[Scope.CHECKOUT])
            stack.enter_context(run_fleet(settings, log, self.ending, lines=read_procfile(with_web=True)))
            times = []
            for cart_id in carts[:IDLE_COUNT]:
                checkout_id = start_checkout(engine, cart_id)
                times.append(self._wait(partial(_read_milliseconds, engine, checkout_id)))
            yield from _rank("idle", times)
            self._wait(partial(_answers, settings.web_port))
            yield from _rank("http", [_buy(settings.web_port, key, cart_id) for cart_id in carts[IDLE_COUNT:]])
            self._audit(settings)
        yield "empty_idle_ms", self._measure_empty_idle()

    def measure_rush(self) -> Figures:
        """Twenty thousand buyers, five hundred units of one variant."""
        with self._scratch(stall_seconds=STALL_SECONDS) as (settings, stack, log):
            engine = self._build(settings, stack)
            stock_shelf(engine.database, 1, RUSH_UNITS)
            sends = start_all(engine, fill_carts(engine.database, RUSH_BUYERS, 1))
            stack.enter_context(run_fleet(settings, log, self.ending))
            engine.driver.sender.send(sends)
            self._wait(lambda: read_makespan(engine.database))
            with engine.database.connect() as connection:
                rush = connection.execute(RUSH).one()
            if (rush.sold, rush.refused) != (RUSH_UNITS, RUSH_BUYERS - RUSH_UNITS):
                raise Obstacle(f"{rush.sold} were sold and {rush.refused} refused: that is not what there is.")
            yield "rush_sold_out_seconds", float(rush.sold_out)
            yield "rush_last_refusal_seconds", float(rush.last_refusal)
            yield "rush_refusal_p99_seconds", float(rush.refusal_p99)
            self._audit(settings)

    def measure_growth(self) -> Figures:
        """Throughput, the sweep's tick, the monitor and the list, with a million finished checkouts and with none."""
        for prefix, copies in (("", 0), ("grown_", GROWN)):
            with self._scratch(stall_seconds=STALL_SECONDS) as (settings, stack, log):
                engine = self._build(settings, stack)
                stock_shelf(engine.database, VARIANTS, self.size + 1)
                carts = fill_carts(engine.database, self.size + 1, VARIANTS)
                stack.enter_context(run_fleet(settings, log, self.ending))
                first = start_checkout(engine, carts[0])
                self._wait(partial(_read_milliseconds, engine, first))
                if copies:
                    copy_finished(engine.database, first, copies)
                began = time.time()
                sends = start_all(engine, carts[1:])
                engine.driver.sender.send(sends)
                seconds = self._wait(lambda: read_makespan(engine.database, since=began))  # noqa: B023 (done at once)
                yield f"{prefix}per_second", self.size / seconds
                for name, milliseconds in time_looks(engine, settings).items():
                    yield f"{prefix}{name}", milliseconds
                self._audit(settings)

    def measure_memory(self) -> Figures:
        """What the workers hold after fifty thousand checkouts, and after as many again."""
        with self._scratch(stall_seconds=STALL_SECONDS) as (settings, stack, log):
            engine = self._build(settings, stack)
            stock_shelf(engine.database, VARIANTS, 2 * MEMORY_SIZE)
            supervisor = stack.enter_context(run_fleet(settings, log, self.ending))
            for prefix in ("first", "second"):
                sends = start_all(engine, fill_carts(engine.database, MEMORY_SIZE, VARIANTS))
                engine.driver.sender.send(sends)
                self._wait(lambda: read_makespan(engine.database))
                yield f"{prefix}_megabytes", read_memory(supervisor)
            self._audit(settings)

    def measure_stalls(self) -> Figures:
        """The 95th percentile of buyers' durations, in milliseconds, while one in forty disturbs."""
        for disturbance in Disturbance:
            with self._scratch() as (settings, stack, log):
                engine = self._build(settings, stack)
                carts = prepare(engine, disturbance)
                stack.enter_context(run_fleet(settings, log, self.ending))
                yield f"p95_{disturbance}_ms", measure(engine, carts, disturbance, self.ending)
                self._audit(settings)

    def _rush_through(
        self,
        variants: int,
        *,
        agreeing: bool = False,
        scale: Mapping[str, int] | None = None,
        size: int | None = None,
        **changes: object,
    ) -> float:
        """Return checkouts a second of the whole engine, the backlog sent at once to workers that are up."""
        count = size or self.size
        lines = read_procfile()
        changes["stall_seconds"] = STALL_SECONDS
        if agreeing:
            changes["gateway"] = AgreeingBank.name
            lines = {name: line.replace("workers.main:", "scripts.bench_bank:") for name, line in lines.items()}
        with self._scratch(**changes) as (settings, stack, log):
            engine = self._build(settings, stack, agreeing=agreeing)
            stock_shelf(engine.database, variants, count)
            sends = start_all(engine, fill_carts(engine.database, count, variants))
            stack.enter_context(run_fleet(settings, log, self.ending, lines=lines, scale=scale))
            engine.driver.sender.send(sends)
            seconds = self._wait(lambda: read_makespan(engine.database))
            self._audit(settings)
            return count / seconds

    def _measure_empty(self) -> float:
        """Return chains a second of stock dramatiq with empty actors."""
        with self._scratch() as (settings, stack, log):
            chain = EmptyChain(settings)
            stack.callback(chain.close)
            stack.enter_context(run_fleet(settings, log, self.ending, lines=EMPTY_LINE))
            chain.send(self.size)
            return self.size / self._wait(lambda: chain.read_makespan(self.size))

    def _measure_empty_idle(self) -> float:
        """Return the median milliseconds of one empty chain at a time."""
        with self._scratch() as (settings, stack, log):
            chain = EmptyChain(settings)
            stack.callback(chain.close)
            stack.enter_context(run_fleet(settings, log, self.ending, lines=EMPTY_LINE))
            times = []
            for count in range(1, EMPTY_IDLE_COUNT + 1):
                sent_at = time.time()
                chain.send(1)
                ended_at = self._wait(partial(chain.read_end, count))
                times.append((ended_at - sent_at) * 1000)
            return statistics.median(times)

    @contextmanager
    def _scratch(self, **changes: object) -> Iterator[tuple[Settings, ExitStack, FleetLog]]:
        with ExitStack() as stack:
            scratch = stack.enter_context(open_scratch(self.settings, "bench"))
            settings = scratch.model_copy(update=changes)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="checkout-bench-"))
            log = FleetLog(Path(folder) / "workers.log")
            stack.callback(log.close)
            yield settings, stack, log

    def _build(self, settings: Settings, stack: ExitStack, *, agreeing: bool = False) -> CheckoutEngine:
        engine = build_engine(settings, "bench", gateway=AgreeingBank() if agreeing else None)
        stack.callback(engine.close)
        return engine

    def _audit(self, settings: Settings) -> None:
        database = connect_engine(settings, application_name="audit", pool_size=1, statement_timeout_seconds=0)
        try:
            with database.connect() as connection:
                found = take_report(connection, settings).violations
                self.violations += [f"{each.promise}: {each.meaning} ({each.count} rows)" for each in found]
        finally:
            database.dispose()

    def _wait(self, look: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + ROUND_SECONDS
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise Obstacle(f"A round was not over after {ROUND_SECONDS} s.")
            self.ending.sleep(LOOK_SECONDS)
        return found


def _read_milliseconds(engine: CheckoutEngine, checkout_id: UUID) -> float | None:
    status = engine.door.status(checkout_id=checkout_id)
    return None if status.ended_at is None else (status.ended_at - status.created_at).total_seconds() * 1000


def _answers(port: int) -> bool | None:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/checkout", timeout=5).status_code < 500 or None
    except requests.RequestException:
        return None


def _buy(port: int, key: str, cart_id: UUID) -> float:
    """Return the milliseconds until a buyer over HTTP has an order."""
    began = time.perf_counter()
    answer = requests.post(
        f"http://127.0.0.1:{port}/checkout",
        json={"cart_id": str(cart_id), "payment": {"token": TOKEN}},
        headers={"Authorization": f"Bearer {key}", "Idempotency-Key": str(cart_id), "Prefer": "wait=30"},
        timeout=40,
    )
    if answer.status_code not in (200, 201) or answer.json().get("state") != "completed":
        raise Obstacle(f"A purchase over HTTP was answered with {answer.status_code}: {answer.text[:300]}")
    return (time.perf_counter() - began) * 1000


def _rank(name: str, times: list[float]) -> Figures:
    ordered = sorted(times)
    yield f"{name}_ms", statistics.median(ordered)
    yield f"{name}_p99_ms", ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
