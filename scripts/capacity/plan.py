"""The arithmetic: a peak, a bank and a path in; processes, cores and connections out. It measures nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from pipeline.saga import get_chain
from pipeline.saga.chain import GatewayPhase
from scripts.capacity.costs import Costs

#: How busy a core may be at the peak: at more, waiting times grow faster than the load.
BUSY: Final = 0.7
#: Calls of one process that may be in flight (`CHECKOUT_GATEWAY_CONCURRENCY`), of which half may be left to answer
#: later while the next batch begins.
CALLS_IN_FLIGHT: Final = 64
SHARE_OF_CALLS: Final = 0.5
#: Connections of a worker process, and of one of web.
WORKER_CONNECTIONS: Final = 5
WEB_CONNECTIONS: Final = 8
#: Memory of a process.
PROCESS_MEGABYTES: Final = 116
#: The largest PostgreSQL that is usual to rent. Beyond it, shops are spread over cells.
MAX_POSTGRES_CORES: Final = 64
#: Valkey serves commands with one thread.
MAX_VALKEY_CORES: Final = 1
#: Lines that work only after a failure, or once a second: one process of each, two hosts have two.
SPARE_LINES: Final = ("unwind", "resolve", "webhooks", "order_changes", "deliveries", "sweep", "scheduler")


@dataclass(frozen=True, slots=True)
class Peak:
    """What must be carried: checkouts a second, the seconds of a gateway call, and hosts for the workers."""

    per_second: float
    bank_seconds: float
    hosts: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What carries it. `bound_by` names the part that ends first when the load grows, `cells` how many engines."""

    processes: Mapping[str, int]
    worker_cores: float
    postgres_cores: float
    valkey_cores: float
    connections: int
    worker_megabytes: int
    wal_bytes_per_second: float
    calls_in_flight: int
    cells: int
    bound_by: str


def make_plan(peak: Peak, costs: Costs) -> Plan:
    """Return what carries this peak, for all cells together."""
    processes = {
        name: max(peak.hosts, _count_processes(name, milliseconds, peak))
        for name, milliseconds in costs.lines_ms.items()
    }
    processes |= dict.fromkeys(SPARE_LINES, peak.hosts)
    cores = {
        "workers": peak.per_second * costs.workers_ms / 1000 / BUSY,
        "PostgreSQL": peak.per_second * costs.postgres_ms / 1000 / BUSY,
        "Valkey": peak.per_second * costs.valkey_ms / 1000 / BUSY,
    }
    # Workers and web are multiplied freely; these two are not.
    fullness = {"PostgreSQL": cores["PostgreSQL"] / MAX_POSTGRES_CORES, "Valkey": cores["Valkey"] / MAX_VALKEY_CORES}
    bound_by = max(fullness, key=fullness.__getitem__)
    count = sum(processes.values())
    web = processes.get("web", 0)
    return Plan(
        processes=processes,
        worker_cores=cores["workers"],
        postgres_cores=cores["PostgreSQL"],
        valkey_cores=cores["Valkey"],
        connections=(count - web) * WORKER_CONNECTIONS + web * WEB_CONNECTIONS,
        worker_megabytes=count * PROCESS_MEGABYTES,
        wal_bytes_per_second=peak.per_second * costs.wal_bytes,
        calls_in_flight=_ceil(peak.per_second * peak.bank_seconds * len(list_calling())),
        cells=max(1, _ceil(fullness[bound_by])),
        bound_by=bound_by,
    )


def list_calling() -> list[str]:
    """Return the phases that call the gateway: each checkout is one call of each."""
    return [phase.name for phase in get_chain() if isinstance(phase.work, GatewayPhase)]


def _ceil(value: float) -> int:
    """Round up, but not for what the arithmetic of fractions has added."""
    return ceil(round(value, 9))


def _count_processes(name: str, milliseconds: float, peak: Peak) -> int:
    """Return how many processes keep a line's processor time, and its calls, within bounds."""
    by_time = peak.per_second * milliseconds / 1000 / BUSY
    by_calls = (
        peak.per_second * peak.bank_seconds / (CALLS_IN_FLIGHT * SHARE_OF_CALLS) if name in list_calling() else 0.0
    )
    return max(1, _ceil(max(by_time, by_calls)))
