"""Runs `scripts/audit.py` as an operator does, on rows written by hand."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from pipeline.settings import Settings
from tests.support import commands

ROOT: Final = Path(__file__).resolve().parents[2]
CONSISTENT_ROWS: Final = ROOT / "tests" / "integration" / "audit" / "consistent_rows.sql"


def write(engine: Engine, sql: str) -> None:
    """Write rows without triggers."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(sql)


def run(cwd: Path, settings: Settings, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script from an empty folder, so that it reads no `.env`."""
    return _run(cwd, settings, args, environment, execute=False)


def execute(cwd: Path, settings: Settings) -> subprocess.CompletedProcess[str]:
    """Do the same as a shell does: start Python on the file."""
    return _run(cwd, settings, (), {}, execute=True)


def _run(
    cwd: Path, settings: Settings, args: tuple[str, ...], environment: dict[str, str], *, execute: bool
) -> subprocess.CompletedProcess[str]:
    return commands.run(
        [sys.executable, str(ROOT / "scripts" / "audit.py"), *args],
        cwd=cwd,
        env={
            **os.environ,
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "REDIS_URL": settings.redis_url.get_secret_value(),
            "CHECKOUT_GATEWAY": settings.gateway,
            **environment,
        },
        timeout=200,
        execute=execute,
    )
