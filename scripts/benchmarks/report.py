"""What a run has found: the figures of each round, their medians, and ratios of figures of the same round."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scripts.benchmarks.machine_speed import compare_speeds
from scripts.benchmarks.over_http import PURCHASES
from scripts.benchmarks.peers_run import PEERS
from scripts.benchmarks.stalls import Disturbance

#: Ratios by name: numerator and denominator. Peers are compared with the engine at the same bank, which agrees at once.
RATIOS: Final[Mapping[str, tuple[str, str]]] = {
    "vs_empty_chain": ("uniform_per_second", "empty_per_second"),
    "without_ledger_vs_empty_chain": ("without_ledger_per_second", "empty_per_second"),
    "vs_plain": ("uniform_per_second", "plain_per_second"),
    "hot_vs_uniform": ("hot_per_second", "uniform_per_second"),
    "http_100_vs_backlog": ("http_100_per_second", "uniform_per_second"),
    **{
        f"http_{buyers}_vs_floor": (f"http_{buyers}_per_second", f"http_floor_{buyers}_per_second")
        for buyers in PURCHASES
    },
    "http_16_vs_vendure_flow": ("http_16_per_second", "vendure_flow_16_per_second"),
    "http_16_vs_vendure_completing": ("http_16_per_second", "vendure_completing_16_per_second"),
    **{f"vs_{name}": ("agreeing_per_second", f"{name}_per_second") for name in PEERS},
    "idle_vs_empty_chain": ("idle_ms", "empty_idle_ms"),
    "growth": ("grown_per_second", "per_second"),
    "sweep_growth": ("grown_sweep_ms", "sweep_ms"),
    "monitor_growth": ("grown_monitor_ms", "monitor_ms"),
    "list_growth": ("grown_list_ms", "list_ms"),
    **{
        f"{each}_growth": (f"grown_{each}_ms", f"{each}_ms")
        for each in ("orders", "orders_of_customer", "orders_by_reference", "order", "events", "events_at_end")
    },
    **{
        f"{each}_growth": (f"grown_{each}_ms", f"{each}_ms") for each in ("admin_orders", "admin_search", "admin_order")
    },
    "memory_growth": ("second_megabytes", "first_megabytes"),
    "hosts_2_vs_1": ("hosts_2_per_second", "hosts_1_per_second"),
    "hosts_4_vs_1": ("hosts_4_per_second", "hosts_1_per_second"),
    **{
        f"standby_{standby}_vs_no_{figure}": (f"standby_{standby}_{figure}", f"standby_no_{figure}")
        for standby in ("local", "far")
        for figure in ("backlog_per_second", "http_per_second", "http_p50_ms", "http_p95_ms")
    },
    "two_units_vs_one": ("units_2_per_second", "units_1_per_second"),
    **{
        f"{each}_vs_alone": (f"p95_{each}_ms", f"p95_{Disturbance.NONE}_ms")
        for each in Disturbance
        if each is not Disturbance.NONE
    },
}


@dataclass(slots=True)
class Report:
    """The figures of all rounds, the machine's speed around them, and what the audits found."""

    rounds: list[dict[str, list[float]]] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        """Add a figure to the latest round; two parts may measure the same."""
        self.rounds[-1].setdefault(name, []).append(value)

    @property
    def figures(self) -> dict[str, list[float]]:
        """All values of each figure."""
        found: dict[str, list[float]] = {}
        for each in self.rounds:
            for name, values in each.items():
                found.setdefault(name, []).extend(values)
        return found

    @property
    def medians(self) -> dict[str, float]:
        """The median of each figure."""
        return {name: statistics.median(values) for name, values in self.figures.items()}

    @property
    def ratios(self) -> dict[str, list[float]]:
        """Each ratio, round by round: a machine that gets slower between two rounds changes none of them."""
        found: dict[str, list[float]] = {}
        for each in self.rounds:
            for name, (over, under) in RATIOS.items():
                if {over, under} <= each.keys():
                    ratio = statistics.median(each[over]) / statistics.median(each[under])
                    found.setdefault(name, []).append(ratio)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`; a ratio is the median of those of all rounds."""
        return {
            "figures": self.figures,
            "medians": self.medians,
            "ratios": {name: statistics.median(values) for name, values in self.ratios.items()},
            "ratios_by_round": self.ratios,
            "idle_p50_ms": self.medians.get("idle_ms"),
            "machine_speed": self.speeds,
            "machine_speed_moved": compare_speeds(self.speeds),
            "audit_violations": len(self.violations),
        }
