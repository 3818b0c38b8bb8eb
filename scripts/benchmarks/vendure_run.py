"""Measures a Vendure shop beside the engine, each with sixteen buyers over HTTP.

The whole flow of a purchase is measured, and its completing calls alone on orders that were filled before: the engine's
one request lies between both, since a cart's content is a part of it. The shop has one server process and one worker
process, as Vendure recommends, and a database of its own.
"""

import csv
import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import requests
from sqlalchemy import Engine, text

from pipeline.database import connect_engine
from pipeline.database.urls import read_database_url
from scripts.benchmarks.http_round import Kinds, measure_buyers, run_buyers
from scripts.benchmarks.over_http import measure_engine
from scripts.benchmarks.peers.vendure.buyers import PAID, Calls, VendurePlan
from scripts.benchmarks.peers.vendure.packages import copy_programs
from scripts.benchmarks.runner import ROUND_SECONDS, BenchmarkRunner, Figures, Round
from scripts.environments.command_errors import CommandError
from scripts.environments.scratch import name_database, own_database
from scripts.environments.supervisor import Supervisor
from scripts.local_servers.valkey import find_port

BUYERS: Final = 16
#: Half a minute at sixteen a second.
PURCHASES: Final = 480
WARM: Final = 48
#: Purchases of one moment are of different variants. The import makes one product of each.
VARIANTS: Final = 100
MODULE: Final = "scripts.benchmarks.peers.vendure.buyers"
KINDS: Final[Kinds] = {"node": ["vendure_server", "vendure_worker"], "postgres": ["postgres"]}
COLUMNS: Final = (
    *("name", "slug", "description", "assets", "facets", "optionGroups", "optionValues", "sku", "price"),
    *("taxCategory", "stockOnHand", "trackInventory", "variantAssets", "variantFacets"),
)
READY: Final = {"query": "{ products(options: { take: 1 }) { totalItems } }"}
PAID_ORDERS: Final = text('SELECT count(*) FROM "order" WHERE state = :paid')
#: The import leaves a job of the search index for each product. They would run during the measurement.
CLEAR_JOBS: Final = text("DELETE FROM job_record")


def measure_vendure(runner: BenchmarkRunner) -> Figures:
    """Yield the figures of the engine, of the whole flow, and of the completing calls."""
    for name, value in measure_engine(runner, PURCHASES, buyers=BUYERS):
        yield f"http_{BUYERS}_{name}", value
    with runner.open(audited=False) as own:
        supervisor, database, flow = open_shop(runner, own)
        run_buyers(runner, own, replace(flow, purchases=WARM), module=MODULE)
        measure = partial(measure_buyers, runner, own, supervisor, database, kinds=KINDS, module=MODULE)
        for name, value in measure(plan=flow):
            yield f"vendure_flow_{BUYERS}_{name}", value
        filled = run_buyers(runner, own, replace(flow, calls=Calls.FILLING), module=MODULE)
        for name, value in measure(plan=replace(flow, calls=Calls.COMPLETING, tokens=filled["tokens"])):
            yield f"vendure_completing_{BUYERS}_{name}", value
        with database.connect() as connection:
            paid = connection.execute(PAID_ORDERS, {"paid": PAID}).scalar_one()
        if paid != WARM + 2 * PURCHASES:
            raise CommandError(f"Vendure has {paid} paid orders of {WARM + 2 * PURCHASES}.")


def open_shop(runner: BenchmarkRunner, own: Round) -> tuple[Supervisor, Engine, VendurePlan]:
    """Return a running shop with stock, its database, and the plan of its buyers; all end with the round."""
    url = own.enter(own_database(own.settings, f"{name_database(own.settings)}_vendure")).get_secret_value()
    database = connect_engine(own.settings, application_name="vendure", url=url)
    own.at_end(database.dispose)
    port, programs = find_port(), copy_programs()
    description = describe_shop(own.log.path.parent, port, url)

    def write_line(program: str) -> str:
        return shlex.join(("node", str(programs / program), str(description)))

    populate(write_line("populate.js"))
    runner.ending.check()
    with database.begin() as connection:
        connection.execute(CLEAR_JOBS)
    supervisor = own.serve({"vendure_server": write_line("server.js"), "vendure_worker": write_line("worker.js")})
    runner.wait(partial(is_ready, port))
    return supervisor, database, VendurePlan(port, "", PURCHASES, VARIANTS, buyers=BUYERS)


def describe_shop(folder: Path, port: int, url: str) -> Path:
    """Write what the shop's programs read, a list of products among it; return the file, which only this user reads."""
    with (folder / "products.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        for number in range(1, VARIANTS + 1):
            sku = f"bench-{number}"
            row = {"name": sku, "slug": sku, "sku": sku, "price": "19.99", "taxCategory": "standard"}
            rows.writerow({**row, "stockOnHand": 10 * PURCHASES, "trackInventory": "true"})
    shop = {"port": port, "database": read_address(url), "products": str(folder / "products.csv")}
    place = folder / "shop.json"
    place.touch(mode=0o600)
    place.write_text(json.dumps(shop))
    return place


def read_address(url: str) -> Mapping[str, Any]:
    """Return a database's address in the words of Vendure's driver; its host may be the folder of a socket."""
    parts = read_database_url(url)
    address = {
        "host": parts.host or parts.query.get("host"),
        "port": parts.port or int(str(parts.query["port"])),
        "username": parts.username,
        "password": parts.password,
        "database": parts.database,
    }
    return {name: value for name, value in address.items() if value is not None}


def populate(line: str) -> None:
    """Create the tables and the shop; raise CommandError with the last output when that fails."""
    try:
        done = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=ROUND_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CommandError(f"Vendure's shop was not filled after {ROUND_SECONDS} s.") from None
    if done.returncode != 0:
        raise CommandError(f"Vendure's shop was not filled: {(done.stderr or done.stdout).strip()[-500:]}")


def is_ready(port: int) -> bool | None:
    """Return True once the shop answers a query, None before."""
    try:
        return requests.post(f"http://127.0.0.1:{port}/shop-api", json=READY, timeout=10).ok or None
    except requests.RequestException:
        return None
