"""What the start of a worker costs: processor time until its first poll, and memory."""

import os
from pathlib import Path
from typing import Final

from scripts.benchmarks.runner import BenchmarkRunner, Figures
from scripts.environments.fleet import read_procfile

LINE: Final = "unwind"
TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def measure_start(runner: BenchmarkRunner) -> Figures:
    """Yield the processor time of one worker, with dramatiq's own process, and the memory of the larger of the two."""
    with runner.open(audited=False) as own:
        supervisor = own.serve({LINE: read_procfile()[LINE]})
        [group] = set(supervisor.pids().values())
        processes = [folder for folder in Path("/proc").glob("[0-9]*") if _read_group(folder) == group]
        yield "start_cpu_ms", sum(_read_seconds(each) for each in processes) * 1000
        yield "start_megabytes", max(_read_bytes(each) for each in processes) / 1e6


def _read_group(folder: Path) -> int | None:
    try:
        return int(_read_stat(folder)[2])
    except OSError:
        return None  # the process has just ended


def _read_seconds(folder: Path) -> float:
    user, system = _read_stat(folder)[11:13]
    return (int(user) + int(system)) / TICKS


def _read_bytes(folder: Path) -> int:
    return int((folder / "statm").read_text().split()[1]) * PAGE_BYTES


def _read_stat(folder: Path) -> list[str]:
    """Return the fields after the name, which is in brackets and may have any character."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
