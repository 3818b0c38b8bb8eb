"""Runs replays in their own processes, and finds what they leave behind."""

import os
import re
import sys
from pathlib import Path
from typing import Final

import psycopg
from redis import Redis
from sqlalchemy import Engine, text

from pipeline.settings import Settings
from tests.support import commands

ROOT: Final = Path(__file__).resolve().parents[2]

#: A cup at two prices, twice in one cart, something free, a return, a cancelled invoice, and unusable rows.
INVOICES: Final = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1001,CUP,Café cup,2,12/1/2010 8:26,2.50,17850,United Kingdom
1001,CUP,Café cup,1,12/1/2010 8:26,2.10,17850,United Kingdom
1001,POT,Pot,4,12/1/2010 8:26,10,17850,United Kingdom
1002,CUP,Café cup,3,12/1/2010 8:28,2.50,,EIRE
C1003,CUP,Café cup,-3,12/1/2010 8:30,2.50,,EIRE
1004,POT,Pot,-1,12/1/2010 8:30,10,17850,France
1005,POT,Pot,1,12/1/2010 8:31,10.00,12431,Nowhere
1005,POT,Pot,1,12/1/2010 8:31,10.00,12431,Australia
1005,CARD,"A card, free",5,12/1/2010 8:31,0,12431,Australia
"""


def name_servers(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }


def start(file: Path, servers: dict[str, str], *arguments: str, execute: bool = False) -> commands.Running:
    # From the folder of the file, where no `.env` is.
    command = [sys.executable, str(ROOT / "scripts" / "replay.py"), str(file), *arguments]
    return commands.start(command, cwd=file.parent, env={**os.environ, **servers}, execute=execute)


def run(file: Path, servers: dict[str, str], *arguments: str, execute: bool = False) -> tuple[int, str, str]:
    process = start(file, servers, *arguments, execute=execute)
    try:
        output, notes = process.communicate(timeout=300)
    finally:
        process.kill()
        code = process.wait()
    return code, output, notes


def read_database(notes: str) -> str:
    found = re.search(r"replay_[0-9a-f]{12}", notes)
    assert found is not None, notes
    return found[0]


def find_databases(settings: Settings) -> set[str]:
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        return {str(name) for (name,) in connection.execute("SELECT datname FROM pg_database")}


def find_processes(database: str) -> list[str]:
    """Return the processes with this database in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if database.encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
        except OSError:  # it ended meanwhile
            continue
    return found


def assert_nothing_is_left(settings: Settings, engine: Engine, notes: str) -> None:
    database = read_database(notes)
    assert database not in find_databases(settings)
    assert find_processes(database) == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM variants")).scalar_one() == 0
        assert connection.execute(text("SELECT count(*) FROM checkouts")).scalar_one() == 0
    with Redis.from_url(settings.redis_url.get_secret_value()) as client:
        assert client.dbsize() == 0
