"""Reads how much processor time the engine's processes and its servers have used."""

import os
from collections import defaultdict
from pathlib import Path
from typing import Final, cast

import redis
from sqlalchemy import Engine, text

from scripts.environments.supervisor import Supervisor

TICKS: Final = os.sysconf("SC_CLK_TCK")
#: Each name is that of a kind of process.
Seconds = dict[str, float]


def read_seconds(supervisor: Supervisor, database: Engine, client: redis.Redis) -> Seconds:
    """Return the seconds by line of the Procfile, `postgres` and `valkey`; those of servers elsewhere are left out."""
    names = {pid: unit.rpartition(".")[0] for unit, pid in supervisor.pids().items()}
    with database.connect() as connection:
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    postmaster = _read_parent(backend)
    seconds: defaultdict[str, float] = defaultdict(float)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # From the third field on: state, parent, group; user, system, and those of children that have ended.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process has just ended
        parent, group = int(fields[1]), int(fields[2])
        own = sum(map(int, fields[11:15])) / TICKS
        if group in names:
            seconds[names[group]] += own
        elif postmaster is not None and postmaster in {parent, int(folder.name)}:
            seconds["postgres"] += own
    usage = cast("dict[str, float]", client.info("cpu"))
    seconds["valkey"] = usage["used_cpu_user"] + usage["used_cpu_sys"]
    return dict(seconds)


def _read_parent(pid: int) -> int | None:
    """Return the parent of a process of PostgreSQL, None if it is none of this machine."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1]) if "(postgres)" in stat else None
