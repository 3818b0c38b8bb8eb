"""Reads how much memory the workers use."""

from pathlib import Path
from typing import Final

from scripts.environments.supervisor import Supervisor

PAGE_BYTES: Final = 4096


def read_memory(supervisor: Supervisor) -> float:
    """Return the megabytes of all processes of all units, without shared memory."""
    groups = set(supervisor.pids().values())
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            group = int((folder / "stat").read_text().rpartition(")")[2].split()[2])
            if group in groups:
                resident, shared = (folder / "statm").read_text().split()[1:3]
                total += (int(resident) - int(shared)) * PAGE_BYTES
        except (OSError, ValueError):
            continue  # the process has just ended
    return total / 1e6
