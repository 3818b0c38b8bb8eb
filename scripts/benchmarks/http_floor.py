"""Measures the application written by hand (`scripts/benchmarks/peers/web_floor.py`) with the same buyers."""

from functools import partial
from typing import Any, Final

from scripts.benchmarks.buyers import Plan
from scripts.benchmarks.http_round import Kinds, measure_buyers, warm_up
from scripts.benchmarks.idle import answers
from scripts.benchmarks.peers import web_floor
from scripts.benchmarks.runner import BenchmarkRunner, Figures
from scripts.environments.command_errors import CommandError
from scripts.local_servers.valkey import find_port

KINDS: Final[Kinds] = {"app": ["floor"], "postgres": ["postgres"]}
#: Units of each variant: above all purchases.
UNITS: Final = 10_000


def measure_http_floor(runner: BenchmarkRunner, purchases: int, variants: int, **how: Any) -> Figures:
    """Yield the figures of one round, which ends with a count of what was sold."""
    port = find_port()
    with runner.open(audited=False) as own:
        database = own.build().database
        with database.begin() as connection:
            web_floor.create_shop(connection, variants, UNITS)
        supervisor = own.serve({"floor": web_floor.COMMAND.format(port=port)})
        runner.wait(partial(answers, port))
        made = purchases + warm_up(runner, own, Plan(port, "", purchases, variants))
        plan = Plan(port, "", purchases, variants, **how)
        yield from measure_buyers(runner, own, supervisor, database, plan, KINDS)
        with database.connect() as connection:
            sold = web_floor.count_sold(connection, UNITS)
        if sold != (made, made):
            raise CommandError(f"The floor has {sold[0]} orders and sold {sold[1]} units in {made} purchases.")
